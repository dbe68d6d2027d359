"""What runs on a device: the standard library, numpy and ``lumavox``, nothing else.

``payload`` packs this folder (with ``cell``, ``presets`` and ``tiers``) into one file, ``runner.pyz``:

    python runner.pyz job.json record.json

    job       ``Job``: which cell, which bundle, how long      record   ``Record``: what came of it
    content   the test content: marks in picture and sound     checks   what the output proves
    golden, engine, stream_sr, stream_de                       the phases of a run
"""
