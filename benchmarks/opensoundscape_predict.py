"""OpenSoundscape's prediction with ResNet-18, for bench_opensoundscape.py: runs in its environment.

    python opensoundscape_predict.py WEIGHTS.pt SCORES.csv N_WORKERS RECORDING...

Windows of 3 s, resampled to 32 kHz, frames of 1,024 samples every 256, pictures of 224 x 224 in
three channels: as pseudorca's common front end has them.
"""

import sys
import time

import torch
from opensoundscape import CNN
from opensoundscape.ml.cnn_architectures import resnet18

start = time.perf_counter()
weights, scores, n_workers, *recordings = sys.argv[1:]
network = resnet18(num_classes=2, weights=None)
state = {name: tensor for name, tensor in torch.load(weights).items() if not name.startswith("fc.")}
network.load_state_dict(state, strict=False)
model = CNN(
    network, ["Insular", "Pelagic"], sample_duration=3.0, sample_rate=32_000, height=224, width=224,
    channels=3,
)  # fmt: skip
model.preprocessor.pipeline.to_spec.set(window_samples=1024, hop_samples=256)
found = model.predict(recordings, batch_size=32, num_workers=int(n_workers), progress_bar=False)
assert found.notna().all(axis=None), "windows that could not be read"
found.to_csv(scores)
print(len(found), time.perf_counter() - start)
