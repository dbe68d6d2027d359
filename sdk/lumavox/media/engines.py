"""The models of one job: `Engines` opens what the options ask for, and closes it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from lumavox._system import cores
from lumavox.audio import DialogEnhancer
from lumavox.content import Decision
from lumavox.downmix import Downmix
from lumavox.media.options import EnhanceOptions
from lumavox.media.sound_track import SoundTrack
from lumavox.media.stem_files import StemFiles
from lumavox.scaling import plan_scale
from lumavox.telemetry import TelemetryRecord
from lumavox.video import Upscaler

_MOST_THREADS = 4  # beyond that, an engine for small networks spends its time on waiting


class Engines:
    """Context manager; ``upscaler()`` and ``enhancer(...)`` open one each, once."""

    def __init__(self, options: EnhanceOptions) -> None:
        self.options = options
        self._open: list[Any] = []
        self._stems: StemFiles | None = None

    def upscaler(self, size: tuple[int, int] | None, content: Callable[[], Decision]) -> Upscaler | None:
        """For pictures of ``size`` (None: of any); ``content`` is called unless the options say it.

        None if the pictures are as large as wanted. Raises errors of bundles and backends.
        """
        options = self.options
        plan = plan_scale(
            options.sr,
            scale=options.scale,
            size=size,
            target=options.target,
            trusted_keys=options.trusted_keys,
            allow_unsigned=options.allow_unsigned,
        )
        if plan.scale is None:
            return None
        upscaler = Upscaler.open(
            plan.bundle,
            scale=plan.scale,
            backend=options.backend,
            content=content() if options.content == "auto" else options.content,
            threads=options.threads or min(cores(), _MOST_THREADS),
            isolation=options.isolation,
        )
        self._open.append(upscaler)
        return upscaler

    def enhancer(self, rate_hz: int, channels: int) -> DialogEnhancer:
        """Raises `AudioError` for sound it cannot handle, and errors of bundles and backends."""
        options = self.options
        enhancer = DialogEnhancer.open(
            options.de,
            rate_hz=rate_hz,
            channels=channels,
            level=options.dialog,
            adaptive=options.adaptive,
            night=options.night,
            hearing=options.audiogram,
            hold=options.hold,
            ceiling_dbtp=options.true_peak_dbtp,
            stems=options.stems is not None,
            backend=options.backend,
            isolation=options.isolation,
            trusted_keys=options.trusted_keys,
            allow_unsigned=options.allow_unsigned,
        )
        self._open.append(enhancer)
        return enhancer

    def sound_track(self, rate_hz: int, channels: int) -> SoundTrack:
        """An enhancer with all that is done to its output. Raises what `enhancer` does, and OutputError."""
        options, downmix = self.options, None
        if options.downmix_centre_db is not None and channels > 2:
            downmix = Downmix(channels, rate_hz, options.downmix_centre_db, options.true_peak_dbtp)
        enhancer = self.enhancer(rate_hz, channels)
        if options.stems is not None:
            self._stems = StemFiles(options.stems, rate_hz, channels)
        return SoundTrack(enhancer, rate_hz, channels, self._stems, downmix)

    def telemetry(self) -> tuple[TelemetryRecord, ...]:
        """One record per opened model."""
        return tuple(opened.record() for opened in self._open)

    def __enter__(self) -> Engines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for opened in self._open:
            opened.close()
        if self._stems is not None:
            self._stems.abandon()  # what is finished stays
