"""The environment of child processes: what they need of the server's own, and no secret. Pure.

An allow-list: whatever else stands in the server's environment, tokens and passwords of any name
among them, is not for a process that has files of strangers' weights to read.
"""

import re
from collections.abc import Mapping

_NAMES = frozenset(
    {
        *("HOME", "USER", "LOGNAME", "PATH", "PWD", "SHELL", "TMPDIR", "TMP", "TEMP", "TZ"),
        *("LANG", "LANGUAGE", "VIRTUAL_ENV", "SLIPSTREAM_LOG", "COLUMNS", "TERM"),
        *("CC", "CXX", "CPATH", "LIBRARY_PATH", "LD_LIBRARY_PATH", "LD_PRELOAD"),
        *("HF_HOME", "HF_HUB_CACHE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("SYSTEMROOT", "NUMBER_OF_PROCESSORS"),
    }
)
# of the interpreter, its locale, and the libraries that compute
_PREFIXES = (
    *("LC_", "XDG_", "PYTHON", "MALLOC_", "GLIBC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_"),
    *("DNNL_", "ONEDNN_", "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "NCCL_", "HIP_", "HSA_"),
    *("ROCR_", "ROCM_", "TORCH", "PYTORCH_", "TRITON_"),
)
# a name of this form is a secret's, whatever it begins with
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|AUTH|PRIVATE")


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of the server's environment that a child process gets."""
    return {name: text for name, text in environment.items() if _is_for_children(name)}


def _is_for_children(name: str) -> bool:
    known = name in _NAMES or name.startswith(_PREFIXES)
    return known and not _SECRET.search(name)
