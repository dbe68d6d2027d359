"""Models that change in the field: signed delivery, an exact answer per device, two slots, a way back.

    client       what the repository vouches for (TUF, The Update Framework; needs `lumavox[update]`)
    release      the compatibility manifest that travels with a model
    device       what this device is: chip, board, firmware, drivers, engines
    compatibility  `qualified`, `compatible_untested` or `blocked`, and why
    self_test    the golden vectors in a process of their own, with a timeout
    slots        two models on disk and which one starts: every change is one atomic file
    settings     `Settings`: where everything is
    updates      `Updates`: the sequence check → install → trial → commit, or back
    session      one use of a model that may be on trial
    health       what a healthy session is
    hot_swap     another model for a running `Upscaler`, between two frames

    updates = Updates.open("/etc/lumavox/update.json")
    updates.install(updates.check("sr/base-x2"))
    with updates.session("sr/base-x2") as session, Upscaler.open(session.bundle) as upscaler:
        ...
        session.finish(upscaler.record())

Walk-through: docs/update.md. Importing this loads neither tuf nor cryptography.
"""
