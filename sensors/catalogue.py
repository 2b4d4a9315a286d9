"""Public recordings that `sensors.datasets` fetches: where they are, how large, with which checksum and on which terms."""

from __future__ import annotations

from dataclasses import dataclass

GITHUB = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class DatasetFile:
    """One file of a data set.

    Attributes
    ----------
    name : str
        Its name in the cache.
    url : str
        Where it is.
    size : int
        Bytes.
    algorithm, digest : str
        "md5" or "sha256", and the checksum in hexadecimal.
    """

    name: str
    url: str
    size: int
    algorithm: str
    digest: str


@dataclass(frozen=True)
class Dataset:
    """A public data set.

    Attributes
    ----------
    name : str
        What it is fetched by.
    description : str
        What is in it, in one line.
    doi : str
        Digital object identifier of the data or of the paper that describes them; empty where there is none.
    licence : str
        Terms.
    files : tuple of DatasetFile
        What is downloaded; a ``.zip`` is unpacked.
    opens : str
        How to open it, for a person.
    """

    name: str
    description: str
    doi: str
    licence: str
    files: tuple[DatasetFile, ...]
    opens: str

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(file.size for file in self.files)


def _open_ephys(name: str, size: int, digest: str) -> DatasetFile:
    commit = "1c915b2e25bd138036c64ca8668cd43da73ad6c5"
    folder = f"{GITHUB}/open-ephys/open-ephys-python-tools/{commit}/tests/data/v0.6.7_OpenEphys/Record%20Node%20101"
    return DatasetFile(name, f"{folder}/{name}", size, "sha256", digest)


_CHANNELS = (  # SHA-256 of 100_example-data_CH1.continuous, CH2 and so on, 270,124 bytes each
    "b53fe572d3cc67cf2cc7ba32772eca59abe3af37cfa404a5e4aab5d638ba99ca",
    "ff577be8c6db7bacf15a0f680a944ddbfee06eabf0187803c4a6983963dde928",
    "d936a217e733b7b1228cdfa4e004e6a817ba03b9746c3998a7588f8ee9a29852",
    "69a1612fc0f71c74b348b27307fe66199890ffb003cd9702175862789679c335",
    "a567a9180f5b1b96820ea09eb13f2c7419c4a9ecf9492a1e94e3a1c4b2f24bd1",
    "35a16bb3423b09dd00d6c5ae87240f1eeeb5648fadb5d6f173c9b52939835832",
    "a1e4db917c32ae87a6c75b01fd118bebbac31bc97f34109a1470d429590c4b60",
    "ebdac9e397c045524991246173cd49bf1a6632194322daae9ba08105ff0978a1",
    "7c3f1b306a868899936a3a135b97c9f79c9ce8f3d0f21ed0b09b4dea2a1830a2",
    "c9d5040ee4b28d9ffbe1e95a3223670e1382e013810fc9a88ec05303269dcd16",
    "e5892e9435862e3d560afcee26fd621e615ff6f1f64f1c5384b83760c317c915",
    "7682c365fe46795f8ae7a63372d705bff8a14657d4c39120762757ad477e3fca",
    "7c7cb886cdaa8088a4a6a8b8c97d180b5c8fd18154b5b38a015e755c5aad8885",
    "be72beeece16ddf13ae35cd73c9e847ae255a3d9c5ff9a71e6ed493de945b31e",
    "9bb7b95006eec755e51306e2f854392b3a5f81d88ed8a0801337cf095cf49894",
    "3d731fb4634eb9f06df7e7f57c68e37c573764aa45d278982121051e867df97a",
)
_BESIDE = (
    ("100_example-data.events", 3072, "859bb6e4d5829a273b5e54f4bc5c0ac11c5e4219ee2e3594af4f994dfe482b7f"),
    ("100_example-data.timestamps", 1040, "2c0f74f9d96f93dcbea2261e391fc18c704bdc31deca187fddf6b617f72c5c62"),
    ("messages.events", 560, "4e9d46983bae686cae973808c2e1d2c983d9c00aa2facffc6e03705448216640"),
    ("settings.xml", 15871, "c22e6cfd91b710ab584c465974fa7cdedb37b303e184cc2db9200380589b4ff4"),
    ("structure.openephys", 2556, "1d6dbc7a0a67f11bb09204fdb11e4609ab9853a851e94cdde9b0ae95e499f2ee"),
)
_LOCUST = f"{GITHUB}/tridesclous/tridesclous_datasets/8775cb839fe52f691ee14a8f8d729ce2f6b965f7/locust"

DATASETS = (
    Dataset(
        name="waveclus",
        description="wave_clus simulations, 24 kHz, 1 channel, 60 s each, 3 units with true spikes (Quian Quiroga et al. 2004)",
        doi="10.25392/leicester.data.11897595.v1",
        licence="CC BY 4.0",
        files=(
            DatasetFile(
                name="Simulator.zip",
                url="https://ndownloader.figshare.com/files/21819066",
                size=257_950_406,
                algorithm="md5",
                digest="52aafe7f04ec4d65ca383536970310cc",
            ),
        ),
        opens="Simulator/C_Easy1_noise005.mat and the other C_*.mat",
    ),
    Dataset(
        name="locust",
        description="tetrode in the antennal lobe of a locust, 15 kHz, 4 channels, 28.8 s (Pouzat 2015)",
        doi="10.5281/zenodo.21589",
        licence="as stated at the doi",
        files=(
            DatasetFile(
                name="locust_trial_01.raw",
                url=f"{_LOCUST}/locust_trial_01.raw",
                size=3_452_384,
                algorithm="sha256",
                digest="2b5a0487ff26f31d36dadc9917cbaf88bac81803bb3e34a5829189c867e6fc99",
            ),
            DatasetFile(
                name="info.json",
                url=f"{_LOCUST}/info.json",
                size=96,
                algorithm="sha256",
                digest="e7d77f7c4e72b4ff5c4e48777b8160a8af3e05ed63f6b4bf0c2a280fc45f2289",
            ),
        ),
        opens="locust_trial_01.raw",
    ),
    Dataset(
        name="openephys16",
        description="example of Open Ephys, 40 kHz, 16 channels, 3.3 s, wide-band; real or simulated is not stated",
        doi="",
        licence="MIT (open-ephys-python-tools)",
        files=(
            *(_open_ephys(f"100_example-data_CH{c}.continuous", 270_124, digest) for c, digest in enumerate(_CHANNELS, 1)),
            *(_open_ephys(*row) for row in _BESIDE),
        ),
        opens="the folder itself (needs the ephys extra)",
    ),
    Dataset(
        name="ca1",
        description="field potential of rat hippocampus CA1, 1250 Hz, 1 channel, 60 s, millivolts (Cole and Voytek 2019)",
        doi="10.1152/jn.00273.2019",
        licence="Apache-2.0 (bycycle)",
        files=(
            DatasetFile(
                name="ca1.npy",
                url=f"{GITHUB}/bycycle-tools/bycycle/18ababef86709cd21f2bc637af94e15c64e11e12/bycycle/data/ca1.npy",
                size=600_128,
                algorithm="sha256",
                digest="e022b75b9dbfd4206ac6aaec9b38e33b746b4ab8831fe6324517508cb4ac93b2",
            ),
        ),
        opens="ca1.npy with --rate 1250",
    ),
    Dataset(
        name="neurodsp",
        description="field potential, 1000 Hz, 1 channel, 150 s (Cole et al. 2019)",
        doi="10.21105/joss.01272",
        licence="Apache-2.0 (neurodsp)",
        files=(
            DatasetFile(
                name="sample_data_2.npy",
                url=f"{GITHUB}/neurodsp-tools/neurodsp/8b804ff0d9ced812beda2c0d97b723bc01ea9849/data/sample_data_2.npy",
                size=300_128,
                algorithm="sha256",
                digest="2be01989165a77bf29b7a13a5a52f0e3b3b40d3a38baddb1a3b49b20178f6443",
            ),
        ),
        opens="sample_data_2.npy with --rate 1000",
    ),
)
