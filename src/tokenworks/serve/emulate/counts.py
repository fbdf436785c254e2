"""What an emulated worker has done so far, as an engine counts it."""

from __future__ import annotations

from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.serve.telemetry.metrics import PER_TOKEN, SECONDS, Histogram
from tokenworks.twin.live import Progress


class Counts:
    """Of one worker. Seconds are emulated ones."""

    def __init__(self) -> None:
        self.prompt_tokens = self.generation_tokens = 0
        self.ttft_s, self.e2e_s = Histogram(SECONDS), Histogram(SECONDS)
        self.tpot_s = Histogram(PER_TOKEN)  # of a request: the mean after its first token

    def took(self, step: Progress, tick: int, answers: bool) -> None:
        """A step that ended at ``tick`` brought a request further. ``answers`` False: an embedding, whose one token is none."""
        request = step.request
        if request.produced == step.tokens:
            self.prompt_tokens += request.prompt
            if answers:
                self.ttft_s.observe((tick - request.arrival) / TICKS_PER_S)
        if answers:
            self.generation_tokens += step.tokens
        if step.finished:
            self.e2e_s.observe((tick - request.arrival) / TICKS_PER_S)
            if answers and request.output > 1:
                self.tpot_s.observe((tick - request.first) / TICKS_PER_S / (request.output - 1))
