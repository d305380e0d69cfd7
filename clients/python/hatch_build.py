"""Makes the messages from the contract while the package is built, so that no copy of them can be out of date."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Messages(BuildHookInterface):
    """Adds `nbo/v1/*_pb2.py` with their types to a wheel, and the contract to a source archive."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generates into a folder of its own: the checkout stays as it is."""
        root = Path(self.root)
        # In a source archive the contract lies beside this file, in a checkout at the top.
        contract = next(folder for folder in (root / "proto", root.parents[1] / "proto") if folder.is_dir())
        if self.target_name == "sdist":
            build_data["force_include"][str(contract)] = "proto"
            return
        self.folder = tempfile.mkdtemp()
        generate(contract, self.folder)
        for made in Path(self.folder, "nbo", "v1").iterdir():
            build_data["force_include"][str(made)] = f"nbo/v1/{made.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes that folder."""
        if self.target_name != "sdist":
            shutil.rmtree(self.folder, ignore_errors=True)


def generate(contract: Path, into: str) -> None:
    """Runs the compiler that grpcio-tools brings along."""
    import grpc_tools
    from grpc_tools import protoc

    known = Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(file.relative_to(contract)) for file in contract.glob("nbo/v1/*.proto"))
    arguments = ["protoc", f"-I{contract}", f"-I{known}", f"--python_out={into}", f"--pyi_out={into}", *files]
    if protoc.main(arguments) != 0:
        raise RuntimeError(f"the contract in {contract} cannot be compiled")
