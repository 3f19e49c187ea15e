"""What is read of a machine's files, on recorded texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsra.runtime.device import driver_version, power_mode

pytestmark = pytest.mark.device

# As public issues quote /proc/driver/nvidia/version: nixGL 121, 139 and 186; drivers' own documentation for the closed module.
VERSIONS = {
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version:  gcc 12.3.0": "550.54.15",
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  565.57.01  Release Build  (dvs-builder@U16-A24-9-2)  Thu Oct 10": "565.57.01",
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.142  Release Build  (dvs-builder@U22-I3-AD05-51-5)": "580.142",
    "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  35.3.1  Release Build  (buildbrain@mobile-u64-6289-d7000)": "35.3.1",
    "GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)": "",
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64 malformed": "",
    "": "",
}


@pytest.mark.parametrize("text", VERSIONS, ids=lambda text: VERSIONS[text] or "none")
def test_the_version_of_the_driver(text: str) -> None:
    assert driver_version(text) == VERSIONS[text]


def test_the_power_mode_of_a_jetson(tmp_path: Path) -> None:
    assert power_mode(tmp_path) == ""
    for name, text in (
        ("var/lib/nvpmodel/status", "pmode:0002\n"),
        (
            "etc/nvpmodel.conf",
            "# < POWER_MODEL ID=2 NAME=OLD\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
        ),
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert power_mode(tmp_path) == "MAXN_SUPER"
    (tmp_path / "var/lib/nvpmodel/status").write_text("pmode:0000")
    assert power_mode(tmp_path) == "15W"
    (tmp_path / "var/lib/nvpmodel/status").write_text("pmode:0012")
    assert power_mode(tmp_path) == "12"
