"""The templates that everybody is offered."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_noop as _

from pods.models import PodTemplate, RestartPolicy

# The agent ships this job and resolves `catalyst-job:` to its own file.
TEMPLATES: list[dict[str, Any]] = [
    {
        "slug": "count",
        "name": _("Counting job"),
        "description": _("Counts steps and saves a checkpoint every few steps. Kill it, and watch it carry on."),
        "command": ["catalyst-job:count", "--steps", "100000"],
        "disk_gb": 1,
        "checkpoints": True,
    },
    {
        "slug": "pytorch",
        "name": _("PyTorch"),
        "description": _("PyTorch 2.8 with CUDA 12.8 on Ubuntu 24.04, by SSH and Jupyter."),
        "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
        "ports": [8888],
        "min_vram_gb": 8,
        "disk_gb": 50,
    },
    {
        "slug": "vllm",
        "name": _("vLLM server"),
        "description": _(
            "An OpenAI-compatible server for language models. Change --model, and set HF_TOKEN where one is needed."
        ),
        "image": "vllm/vllm-openai:latest",
        "command": ["--model", "Qwen/Qwen2.5-7B-Instruct", "--port", "8000"],
        "ports": [8000],
        "min_vram_gb": 24,
        "disk_gb": 80,
        "restart_policy": RestartPolicy.ALWAYS,
    },
    {
        "slug": "jupyter",
        "name": _("Jupyter"),
        "description": _("JupyterLab with PyTorch and CUDA."),
        "image": "quay.io/jupyter/pytorch-notebook:cuda12-latest",
        "ports": [8888],
        "min_vram_gb": 8,
        "disk_gb": 40,
    },
    {
        "slug": "ubuntu-ssh",
        "name": _("Ubuntu with SSH"),
        "description": _("A plain Ubuntu 22.04 with CUDA, for everything else."),
        "image": "nvidia/cuda:12.8.1-devel-ubuntu22.04",
        "ports": [22],
        "disk_gb": 30,
    },
]


def seed() -> None:
    """Bring our own templates to what stands above; those of customers are theirs."""
    for columns in TEMPLATES:
        defaults = {"restart_policy": RestartPolicy.ON_FAILURE, **columns}
        slug = defaults.pop("slug")
        PodTemplate.objects.update_or_create(slug=slug, defaults=defaults)
