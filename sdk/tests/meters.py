"""A telemetry meter in which everything is known. Not a test itself."""

from __future__ import annotations

from lumavox.telemetry import AddedLatency, Meter, ModelInfo, SelfCheck, config_digest


def full_meter() -> Meter:
    """A meter in which everything is known."""
    meter = Meter(
        task="sr",
        model=ModelInfo("sr/base-x2", "ab" * 32, version="0.1.0", variant="clean-int8-tflite"),
        ep_requested="auto",
        deadline_us=20_000.0,
    )
    meter.ep_actual, meter.ep_version = "litert", "ai-edge-litert 2.3.0"
    meter.nodes_on_ep, meter.nodes_total = 7, 7
    meter.cold_load_ms, meter.first_frame_ms = 31.5, 12.0
    meter.added_latency_ms = AddedLatency(video=0.0, audio=30.0)
    meter.self_check = SelfCheck("clean-int8", "max_lsb", 1.0, 1.0, True)
    meter.config_digest = config_digest("ab" * 32, "litert", "2.3.0", 1)
    meter.frames_in, meter.frames_enhanced, meter.frames_bypassed, meter.frames_late = 4, 3, 1, 1
    for value in (10_000.0, 25_000.0, 30_000.0, 15_000.0):
        meter.add_latency_us(value)
    meter.add_error("SR.E_DEADLINE")
    meter.set_state("degraded", "two frames were late")
    return meter
