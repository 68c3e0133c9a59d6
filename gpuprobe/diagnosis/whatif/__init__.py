"""What a change would give: a traced step replayed from its durations and dependencies, as it is and changed."""

from gpuprobe.diagnosis.whatif.causes import cure, with_gains
from gpuprobe.diagnosis.whatif.known import Known, known_of
from gpuprobe.diagnosis.whatif.predict import predict
from gpuprobe.diagnosis.whatif.records import Prediction, Replay, Unpredicted

__all__ = ["Known", "Prediction", "Replay", "Unpredicted", "cure", "known_of", "predict", "with_gains"]
