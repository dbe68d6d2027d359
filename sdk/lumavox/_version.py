"""The version of Lumavox, read by the build and by the runtime."""

__version__ = "0.1.0"
