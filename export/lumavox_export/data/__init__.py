"""Training and validation material: dataset manifests, picture pairs, sound mixes."""
