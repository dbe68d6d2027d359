"""One torch thread: on a busy machine several wait for each other longer than they compute."""

import torch

torch.set_num_threads(1)
