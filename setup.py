"""A wheel carries the dbt project, too: `foreshore init` lays it where there is no checkout."""

import runpy
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


class WithProject(build_py):
    """Python files as always, then the project beside the module that knows what belongs to it."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        files = runpy.run_path(str(HERE / "operate" / "project.py"))["project_files"](HERE)
        for name in files:
            target = Path(self.build_lib) / "operate" / "project_files" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(HERE / name, target)


setup(cmdclass={"build_py": WithProject})
