"""Tiny random detectors of transformers, as Hugging Face folders, whose heads are as decided as after training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SIZE = 64
CLASSES = ("person", "bicycle", "car", "traffic light", "dog")


def make_detr(folder: Path, kind: str) -> Path:
    """An RT-DETR ("rt_detr", "rt_detr_v2") or D-FINE ("d_fine") of 64 x 64 pixels with 5 classes."""
    import torch
    from transformers import AutoModelForObjectDetection

    torch.manual_seed(0)
    model: Any = AutoModelForObjectDetection.from_config(config_of(kind))
    _decide(model)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    given = {"do_resize": True, "size": {"height": SIZE, "width": SIZE}, "do_rescale": True, "rescale_factor": 1 / 255, "do_pad": False}
    given |= {"do_normalize": False, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (folder / "preprocessor_config.json").write_text(json.dumps(given))
    return folder


def config_of(kind: str) -> Any:
    """Its configuration."""
    from transformers import DFineConfig, HGNetV2Config, RTDetrConfig, RTDetrResNetConfig, RTDetrV2Config

    small: dict[str, Any] = {
        "d_model": 32, "encoder_hidden_dim": 32, "encoder_ffn_dim": 64, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
        "decoder_ffn_dim": 64, "decoder_layers": 2, "num_queries": 20, "num_denoising": 0, "hidden_expansion": 0.5, "decoder_n_points": 2,
        "encoder_in_channels": [32, 48], "decoder_in_channels": [32, 32], "feat_strides": [16, 32], "num_feature_levels": 2,
        "encode_proj_layers": [1], "freeze_backbone_batch_norms": False,
        "id2label": dict(enumerate(CLASSES)), "label2id": {name: number for number, name in enumerate(CLASSES)},
    }  # fmt: skip
    if kind == "d_fine":
        backbone: Any = HGNetV2Config(
            embedding_size=12,
            hidden_sizes=[16, 24, 32, 48],
            stem_channels=[3, 8, 12],
            stage_in_channels=[12, 16, 24, 32],
            stage_mid_channels=[8, 8, 12, 16],
            stage_out_channels=[16, 24, 32, 48],
            stage_num_blocks=[1, 1, 1, 1],
            stage_numb_of_layers=[2, 2, 2, 2],
            out_indices=[3, 4],
        )
        return DFineConfig(backbone_config=backbone, depth_mult=0.34, lqe_hidden_dim=16, max_num_bins=16, **small)
    backbone = RTDetrResNetConfig(
        embedding_size=16, hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 1, 1], layer_type="basic", out_indices=[3, 4]
    )
    return {"rt_detr": RTDetrConfig, "rt_detr_v2": RTDetrV2Config}[kind](backbone_config=backbone, **small)


def _decide(model: Any) -> None:
    """Statistics as after training on rendered scenes, and weights of the heads so large that a rounding decides nothing."""
    import cv2
    import numpy as np
    import torch

    from wsra.train.scenes.demo.render import frames
    from wsra.train.scenes.demo.world import sample_clip

    images = [
        cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        for seed in range(4)
        for place, image in enumerate(frames(sample_clip("train", "train", 5000 + seed)))
        if place % 20 == 10
    ]
    example = torch.from_numpy(np.stack(images)[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
        elif isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)  # as they come they lose the picture within a few layers
    model.train()
    with torch.no_grad():
        model(pixel_values=example)
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and ("score_head" in name or "class_embed" in name):
                weight.normal_(0, 0.25)
            elif weight.ndim == 2 and "bbox" in name:
                weight.normal_(0, 0.06)
    model.eval()
