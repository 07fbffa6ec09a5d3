"""The public names exist, and importing the package costs none of them."""

import subprocess
import sys

import pseudorca


def test_every_public_name_can_be_imported():
    for name in pseudorca.__all__:
        assert getattr(pseudorca, name) is not None


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, pseudorca; assert not {'torch', 'pandas', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
