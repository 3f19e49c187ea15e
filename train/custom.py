"""A scorer and an objective of the user's own, named as module:name; docs/research.md has examples.

Shapes: N snippets or windows, Q sentences, Dv, Dt, H as in train/model.py.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wsra.runtime.errors import ConfigError
from wsra.train.base_scorer import BaseScorer
from wsra.train.config import OWN_SCORER
from wsra.train.model import Scorer


def imported(name: str, setting: str) -> Any:
    """The function or class that `module:name` names; the current folder is searched after the installed packages.

    Args:
        name: the module, a colon, and a name in it.
        setting: the setting that holds the name, for messages.

    Raises:
        ConfigError: there is no such module, or no such function or class in it.
    """
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as err:
        if err.name is None or not f"{module_name}.".startswith(f"{err.name}."):
            raise  # something that the module itself imports is missing
        raise ConfigError(f"{setting} {name}: there is no module {err.name} in {here} or among the installed packages") from err
    found = getattr(module, attribute, None)
    if not callable(found):
        place = getattr(module, "__file__", None) or module_name
        raise ConfigError(f"{setting} {name}: {place} has no function or class {attribute}")
    return found


class CustomScorer(BaseScorer):
    """A user's module as a scorer. It gets normalised features and sentences, so that it need not normalise them itself.

    Args (constructor):
        module: has keys(features (..., Dv)) -> (..., H) and matrix(keys (..., N, H), text (..., Q, Dt)) -> (..., Q, N) logits, where the
            leading axes of keys and text are the same.
        feature_width: Dv.
        text_width: Dt.
        key_width: H.
    """

    def __init__(self, module: nn.Module, feature_width: int, text_width: int, key_width: int) -> None:
        super().__init__(feature_width, text_width)
        self.module: Any = module
        self._key_width = key_width

    @property
    def key_width(self) -> int:
        """H."""
        return self._key_width

    def keys(self, features: Tensor) -> Tensor:
        """Map features (..., Dv) to keys (..., H)."""
        keys: Tensor = self.module.keys((features - self.feature_mean) * self.feature_scale)
        return keys

    def matrix(self, keys: Tensor, text: Tensor) -> Tensor:
        """Logits (..., Q, N) of every key (..., N, H) for every sentence (..., Q, Dt)."""
        logits: Tensor = self.module.matrix(keys, (text - self.text_mean) * self.text_scale)
        return logits

    def logits(self, keys: Tensor, text: Tensor) -> Tensor:
        """See `BaseScorer.logits`."""
        shape = torch.broadcast_shapes(keys.shape[:-1], text.shape[:-1])  # type: ignore[no-untyped-call]
        keys, text = (x.expand(*shape, x.shape[-1])[..., None, :] for x in (keys, text))
        return self.matrix(keys, text)[..., 0, 0]


def new_scorer(name: str, feature_width: int, text_width: int, key_width: int) -> BaseScorer:
    """An untrained scorer.

    Args:
        name: `training.scorer` of a run: wsra's own, or module:name of a factory (feature_width, text_width, key_width) -> module.
        feature_width: Dv.
        text_width: Dt.
        key_width: H.

    Raises:
        ConfigError: the factory is missing, or its module does not do what `CustomScorer` needs.
    """
    if name == OWN_SCORER:
        return Scorer(feature_width, text_width, key_width)
    module = imported(name, "training.scorer")(feature_width, text_width, key_width)
    if not isinstance(module, nn.Module) or not all(callable(getattr(module, part, None)) for part in ("keys", "matrix")):
        raise ConfigError(f"training.scorer {name}: gives a {type(module).__name__}; expected a torch.nn.Module with keys and matrix")
    if not any(weight.requires_grad for weight in module.parameters()):
        raise ConfigError(f"training.scorer {name}: has no parameters to learn; expected some, as attributes of the module")
    scorer = CustomScorer(module, feature_width, text_width, key_width)
    _check(scorer, name)
    return scorer


@torch.no_grad()
def _check(scorer: CustomScorer, name: str) -> None:
    """Try a scorer on random numbers: two videos of three snippets, four sentences for each, together and one by one.

    Raises:
        ConfigError: shapes are wrong, or a video's logits depend on the other video.
    """
    generator = torch.Generator().manual_seed(0)
    features, text = (torch.randn(2, n, width, generator=generator) for n, width in ((3, scorer.feature_width), (4, scorer.text_width)))
    scorer.eval()
    keys = scorer.keys(features)
    _check_shape(f"training.scorer {name}: keys", features, keys, (2, 3, scorer.key_width))
    logits = scorer.matrix(keys, text)
    _check_shape(f"training.scorer {name}: matrix", keys, logits, (2, 4, 3))
    alone = torch.stack([scorer.matrix(scorer.keys(features[b]), text[b]) for b in range(2)])
    if alone.shape != logits.shape or not torch.allclose(alone, logits, rtol=1e-3, atol=1e-4):
        raise ConfigError(
            f"training.scorer {name}: gives other logits for two videos together than for each alone; expected that leading axes are"
            " independent: use @, .mT and dim=-1"
        )
    scorer.train()


def _check_shape(what: str, given: Tensor, found: Tensor, expected: tuple[int, ...]) -> None:
    if not isinstance(found, Tensor) or tuple(found.shape) != expected:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ConfigError(f"{what} of {tuple(given.shape)} gives {shape}; expected {expected}")
