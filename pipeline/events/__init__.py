"""Stages for event cameras; importing this package registers all of them."""

from pipeline.events import background, correlation, hot_pixels, polarity, pooling, rate_guard, refractory, region, tracker

__all__ = ["background", "correlation", "hot_pixels", "polarity", "pooling", "rate_guard", "refractory", "region", "tracker"]
