"""From a bundle to compiled files: everything about targets that is the same for all of them.

| module | is |
|---|---|
| `presets` | the sizes that networks are compiled for |
| `tflite_reader` | a ``.tflite`` file of our own as a graph and its plan |
| `network` | one network of a bundle, at one size, ready to be written in any format |
| `rewrites` | exact transformations that make a graph legal for a target |
| `lint` | which layer breaks which rule of a target, and which rewrite would help |
| `tool`, `environments` | vendors' tools: called with a time limit, in environments of their own |
| `cache` | what was compiled before |
| `compiler` | all of it, in order |

What is particular to a chipset family is one file in ``lumavox_export.targets``.
"""
