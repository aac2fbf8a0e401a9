"""Builds ``infoalign_dgl._native``; everything else about the package stands in ``pyproject.toml``.

Environment
-----------
INFOALIGN_CUDA : "auto" (default), "0" or "1"
    Compile the CUDA sources where ``nvcc`` is found, never, or fail where that does not work.

Without a working C++ compiler the package installs all the same, and walks run on numba.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nanobind
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
NANOBIND = Path(nanobind.include_dir()).parent
NANOBIND_SOURCE = str(Path(nanobind.source_dir()) / "nb_combined.cpp")
INCLUDES = [ROOT / "csrc" / "include", NANOBIND / "include", NANOBIND / "ext" / "robin_map" / "include"]
# No -march: what a processor has beyond x86-64 is chosen at run time. No contraction: same bits everywhere.
CXX_FLAGS = [
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-DNDEBUG",
    "-Wall",
    "-Wextra",
]
NANOBIND_FLAGS = ["-Os", "-fno-strict-aliasing", "-ffunction-sections", "-fdata-sections", "-w"]
CUDA_FLAGS = [
    "-std=c++17",
    "-O3",
    "-fmad=false",
    "-cudart",
    "static",
    "-Xcompiler",
    "-fPIC,-fvisibility=hidden",
]
CUDA_TARGETS = [
    *("-gencode", "arch=compute_80,code=sm_80"),
    *("-gencode", "arch=compute_90,code=sm_90"),
    *("-gencode", "arch=compute_90,code=compute_90"),
]


class BuildNative(build_ext):
    """Compile the sources side by side, CUDA's with nvcc where it is wanted and found."""

    def build_extension(self, ext: Extension) -> None:
        """Compile and link one extension."""
        objects = Path(self.build_temp) / "native"
        objects.mkdir(parents=True, exist_ok=True)
        cuda = self._compile_cuda(objects)
        ext.define_macros = [("INFOALIGN_WITH_CUDA", "1")] if cuda else []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            compiled = list(
                pool.map(lambda source: self._compile(ext, source), [NANOBIND_SOURCE, *ext.sources])
            )
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Linked aside and renamed, so that a process that has the old module loaded keeps it whole.
        partial = target.with_name(f".{target.name}.partial")
        self.compiler.link_shared_object(
            [name for names in compiled for name in names] + [str(name) for name in cuda],
            str(partial),
            libraries=["cudart_static", "dl", "rt", "pthread"] if cuda else ["pthread"],
            library_dirs=[str(_cuda_root() / "lib64")] if cuda else [],
            extra_postargs=["-Wl,--gc-sections", "-Wl,-s", "-Wl,--exclude-libs,ALL"],
            target_lang="c++",
        )
        partial.replace(target)

    def _compile(self, ext: Extension, source: str) -> list[str]:
        flags = [*CXX_FLAGS, *(NANOBIND_FLAGS if Path(source).name == "nb_combined.cpp" else [])]
        return self.compiler.compile(
            [source],
            output_dir=self.build_temp,
            macros=ext.define_macros,
            include_dirs=[str(path) for path in INCLUDES] + self.include_dirs,
            extra_postargs=flags,
        )

    def _compile_cuda(self, objects: Path) -> list[Path]:
        """Objects of the CUDA sources, or none where they are not wanted or cannot be compiled."""
        wanted = os.environ.get("INFOALIGN_CUDA", "auto")
        if wanted not in {"auto", "0", "1"}:
            raise SystemExit(f"INFOALIGN_CUDA is '{wanted}': set it to auto, 0 or 1")
        if wanted == "0":
            return []
        nvcc = shutil.which("nvcc")
        if nvcc is None:
            if wanted == "1":
                raise SystemExit(
                    "INFOALIGN_CUDA is 1 but no nvcc was found: put it on PATH, or set INFOALIGN_CUDA=0"
                )
            return []
        made = []
        for source in sorted((ROOT / "csrc" / "cuda").glob("*.cu")):
            made.append(objects / f"{source.stem}.cu.o")
            command = [
                nvcc,
                *CUDA_FLAGS,
                *CUDA_TARGETS,
                f"-I{ROOT / 'csrc' / 'include'}",
                "--threads",
                "2",
                "-c",
            ]
            if subprocess.run([*command, str(source), "-o", str(made[-1])], check=False).returncode != 0:
                if wanted == "1":
                    raise SystemExit(
                        f"nvcc could not compile {source.name}: see above, or set INFOALIGN_CUDA=0"
                    )
                self.warn(f"nvcc could not compile {source.name}; building without CUDA")
                return []
        return made


def _cuda_root() -> Path:
    """Find the folder of nvcc's own libraries, also where the nvcc on PATH is a script around it."""
    lines = subprocess.run(
        [str(shutil.which("nvcc")), "--dryrun", "-c", "-x", "cu", os.devnull],
        capture_output=True,
        text=True,
        check=False,
    ).stderr.splitlines()
    tops = [line.split("TOP=", 1)[1] for line in lines if line.startswith("#$ TOP=")]
    return Path(tops[0]).resolve() if tops else Path(str(shutil.which("nvcc"))).resolve().parents[1]


def _sources() -> list[str]:
    """List this project's own C++ sources; setuptools takes none from outside its folder."""
    own = [*(ROOT / "csrc" / "bindings").glob("*.cpp"), *(ROOT / "csrc" / "cpu").glob("*.cpp")]
    return [str(path.relative_to(ROOT)) for path in sorted(own)]


setup(
    packages=[*find_packages(include=["infoalign_dgl", "infoalign_dgl.*"]), "infoalign_dgl.cli"],
    package_dir={"infoalign_dgl.cli": "cli"},
    package_data={
        "infoalign_dgl.sources": ["registry.toml"],
        "infoalign_dgl.evaluation": ["paper_results.toml"],
        "infoalign_dgl.plots.pages": ["assets/*", "templates/*.html"],
    },
    ext_modules=[Extension("infoalign_dgl._native", _sources(), language="c++", optional=True)],
    cmdclass={"build_ext": BuildNative},
)
