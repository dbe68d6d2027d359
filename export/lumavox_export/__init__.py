"""Lumavox export: trains, distils, quantizes and bundles small networks for NPUs."""
