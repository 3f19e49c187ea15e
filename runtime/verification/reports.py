"""What the gates found: dataclasses that are written as JSON in manifests and records, and printed by `wsra verify --json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from wsra.runtime.backends.routes import Route

Seconds = tuple[float, float]  # start and end


@dataclass(frozen=True)
class _Figures:
    """Numbers; None where one is not known."""

    def to_json(self) -> dict[str, float]:
        """The fields that are set, by name."""
        return _known(**asdict(self))


@dataclass(frozen=True)
class TensorReport(_Figures):
    """How far an output of a graph is from PyTorch's, over all cases.

    Attributes:
        max_abs: largest absolute error.
        cosine_mean: mean cosine of the vectors; None for scores and logits.
        cosine_min: smallest cosine of the vectors; None for scores and logits.
        relative: largest error of a vector, L2 of the error over L2 of the vector; None for scores and logits.
    """

    max_abs: float
    cosine_mean: float | None = None
    cosine_min: float | None = None
    relative: float | None = None


@dataclass(frozen=True)
class WorstQuery:
    """The golden query whose first answer has the smallest IoU with PyTorch's.

    Attributes:
        query: the sentence.
        video: name of the video.
        expected_s: PyTorch's first answer; None where it has no candidate.
        found_s: first answer of the route; None where it has no candidate.
        iou: of the two; 1 where neither has a candidate.
    """

    query: str
    video: str
    expected_s: Seconds | None
    found_s: Seconds | None
    iou: float

    def to_json(self) -> dict[str, Any]:
        """The fields by name; answers as lists of two numbers, or null."""
        spans = {name: list(span) if span else None for name, span in (("expected_s", self.expected_s), ("found_s", self.found_s))}
        return {"query": self.query, "video": self.video, **spans, "iou": self.iou}


@dataclass(frozen=True)
class LabelledReport(_Figures):
    """Figures on labelled queries, in percent, and how far they fall below those of FP32 on the CPU, in points.

    Attributes:
        queries: labelled queries.
        r1_iou50: R@1 at IoU 0.5.
        miou: mean IoU.
        r1_iou50_drop: points of R@1 lost.
        miou_drop: points of mean IoU lost.
    """

    queries: int
    r1_iou50: float
    miou: float
    r1_iou50_drop: float
    miou_drop: float


@dataclass(frozen=True)
class GroundingReport:
    """How the first answers to the golden queries, found or not, agree with PyTorch's.

    Attributes:
        queries: golden queries.
        answered: those for which the route or PyTorch has a candidate.
        agreement: percent of the answered queries whose first answers have an IoU of 0.9 or more.
        presence: percent of the queries that both find, or both do not.
        confidence_error: mean absolute error of the confidence of the best candidate.
        worst: the query with the smallest IoU.
        labelled: figures on labelled queries, where there are any.
    """

    queries: int
    answered: int
    agreement: float
    presence: float
    confidence_error: float
    worst: WorstQuery
    labelled: LabelledReport | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields by name; `labelled` is left out where there is none."""
        table = {
            "queries": self.queries,
            "answered": self.answered,
            "agreement": self.agreement,
            "presence": self.presence,
            "confidence_error": self.confidence_error,
            "worst": self.worst.to_json(),
        }
        return table if self.labelled is None else table | {"labelled": self.labelled.to_json()}


@dataclass(frozen=True)
class RouteReport:
    """What the gates found of one route on one device.

    Attributes:
        route: the precision and the provider that was asked for.
        threads: of ONNX Runtime on the CPU; 0 lets it decide.
        reason: why the route failed, in one line; None when it passed.
        ran: whether all its graphs ran here. One that did not run may be right elsewhere.
        provider: what really ran the graphs; None if they could not be opened, like the next three.
        device: "cpu" or the name of the GPU.
        kernel: "graph", "numpy" or "numba".
        bytes: size of the graphs or plans.
        tensors: output -> its errors; None if the route did not run.
        grounding: agreement of first answers; None if the route did not run, or gave NaN.
        ms_per_query: median milliseconds of a query; None until it is timed.
        first_answer_ms: milliseconds from opening the bundle in a new process to the first answer; None until it is timed.
        scorer_ms: kernel -> milliseconds for a day of keys; None on the CPU.
        ms_per_picture: median milliseconds of a picture in a full call of the encoder or the detector; None until it is timed.
    """

    route: Route
    threads: int
    reason: str | None
    ran: bool
    provider: str | None = None
    device: str | None = None
    kernel: str | None = None
    bytes: int | None = None
    tensors: Mapping[str, TensorReport] | None = None
    grounding: GroundingReport | None = None
    ms_per_query: float | None = None
    first_answer_ms: float | None = None
    scorer_ms: Mapping[str, float] | None = None
    ms_per_picture: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the route passed both gates."""
        return self.reason is None

    def to_json(self) -> dict[str, Any]:
        """The entry of docs/schema/gate.json; what is not known is left out."""
        return {
            **_verdict(self),
            "threads": self.threads,
            **_known(
                provider=self.provider,
                device=self.device,
                kernel=self.kernel,
                bytes=self.bytes,
                tensors=None if self.tensors is None else {name: tensor.to_json() for name, tensor in self.tensors.items()},
                grounding=None if self.grounding is None else self.grounding.to_json(),
                ms_per_query=self.ms_per_query,
                first_answer_ms=self.first_answer_ms,
                scorer_ms=None if self.scorer_ms is None else dict(self.scorer_ms),
                ms_per_picture=self.ms_per_picture,
            ),
        }


@dataclass(frozen=True)
class BoxAgreement(_Figures):
    """How the boxes of a graph agree with the reference's.

    Attributes:
        boxes: boxes that were compared.
        agreement: percent of them that agree.
        score_mean: mean difference of the scores of boxes that agree; 1 if none agrees.
        score_max: largest difference of the scores of boxes that agree; 1 if none agrees.
        iou_mean: mean IoU over all boxes.
    """

    boxes: int
    agreement: float
    score_mean: float
    score_max: float
    iou_mean: float


@dataclass(frozen=True)
class PictureReport:
    """What was found of one way to run the graph of an encoder or a detector.

    Attributes:
        kind: "encoder" or "detector".
        route: the precision and the provider that was asked for.
        reason: why it failed, in one line; None when it passed.
        ran: whether it ran here.
        provider: what really ran it; None if it could not be opened, like the next one.
        device: "cpu" or the name of the GPU.
        pictures: how many were compared.
        vectors: errors of an encoder's vectors; None if they could not be compared.
        boxes: agreement of a detector's boxes; None if they could not be compared.
    """

    kind: Literal["encoder", "detector"]
    route: Route
    reason: str | None
    ran: bool
    provider: str | None = None
    device: str | None = None
    pictures: int = 0
    vectors: TensorReport | None = None
    boxes: BoxAgreement | None = None

    @property
    def passed(self) -> bool:
        """Whether it stays within the limits."""
        return self.reason is None

    def to_json(self) -> dict[str, Any]:
        """The entry of docs/schema/verify.json; what is not known is left out."""
        return {
            "kind": self.kind,
            **_verdict(self),
            "pictures": self.pictures,
            **_known(
                provider=self.provider,
                device=self.device,
                vectors=None if self.vectors is None else self.vectors.to_json(),
                boxes=None if self.boxes is None else self.boxes.to_json(),
            ),
        }


def _verdict(report: RouteReport | PictureReport) -> dict[str, Any]:
    """What was asked for, and how it ended."""
    return {
        "passed": report.passed,
        "ran": report.ran,
        "reason": report.reason,
        "precision": report.route.precision,
        "provider_asked": report.route.provider,
    }


def _known(**values: Any) -> dict[str, Any]:
    """What is known of these."""
    return {name: value for name, value in values.items() if value is not None}
