"""The repository that devices update from: signed metadata and bundles as plain files for any web server.

    keyring      private keys of roles in a folder; a role is signed by all of its keys that are at hand
    repository   `ModelRepository`: init, delegate, add, withdraw, sign, rotate

    repository = ModelRepository.init(folder, Keyring(keys))
    repository.delegate("rk3588")
    repository.add(Path("base-x2.zip"), "rk3588", expires_days=180)

Devices read it by `lumavox.update`; walk-through in docs/update.md.
"""
