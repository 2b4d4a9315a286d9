"""Event recordings: one file a format, each with its specification at its top, decoder and encoder apart from any device."""

from sensors.events.opening import open_events
from sensors.events.source import EventRecording
from sensors.events.writing import write_events

__all__ = ["EventRecording", "open_events", "write_events"]
