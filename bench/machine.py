"""What the figures were measured on: processor, versions, commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.servers import REDIS_7
from service.storage.embedded import server_binary

FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
PACKAGES = (
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
    "pydantic",
    "redis",
    "hiredis",
    "onnxruntime",
    "torch",
    "numpy",
)
NUMBER = re.compile(r"\d+\.\d+(?:\.\d+)?")


def describe() -> list[str]:
    """Lines of Markdown."""
    processor, flags = _processor()
    known = ", ".join(flag for flag in FLAGS if flag in flags)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        f"{os.cpu_count()} cores ({processor}; {known}), {memory:.0f} GiB, "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}.",
        f"{_packages()}; Redis {_answer(str(REDIS_7), '--version')}, "
        f"Valkey {_answer(str(server_binary()), '--version')}, wrk {_answer('wrk', '--version')}.",
    ]


def commit() -> str:
    """The commit that was measured, marked where files have been changed since; empty outside of a repository."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return found.stdout.strip()


def _processor() -> tuple[str, set[str]]:
    fields = dict(re.findall(r"^([^\t:]+)\t*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M))
    return fields.get("model name", platform.machine()), set(fields.get("flags", "").split())


def _packages() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


def _answer(program: str, option: str) -> str:
    """The first version that a program names when it is asked for its own."""
    output = subprocess.run([program, option], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    found = NUMBER.search(output)
    return found[0] if found else "of unknown version"
