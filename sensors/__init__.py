"""Where blocks come from: recordings, live links, simulators with ground truth, public data sets."""
