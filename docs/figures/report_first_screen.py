"""Draw ``report_first_screen.png``: the report of a simulated survey, as Chromium shows it.

Run ``python docs/figures/report_first_screen.py``. It takes a few minutes, and needs Chromium.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = Path(__file__).with_suffix(".png")
SIZE = "1200,690"


def pseudorca(*arguments: str) -> None:
    """Run a command of this environment."""
    program = "from pseudorca.cli import main; main()"
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)


def main() -> None:
    """Make the survey and the report, and take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        pseudorca("demo", "--out", folder)
        project = Path(folder, "project").rename(Path(folder, "whales"))
        page = Path(folder, "report.html")
        pseudorca("report", "--project", str(project), "--out", str(page))
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars",
             f"--screenshot={TARGET}", f"--window-size={SIZE}", str(page)],
            check=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
