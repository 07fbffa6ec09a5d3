"""Audacity label tracks: start, end and label, separated by tabs."""

from pseudorca.formats.base import Portion, Writer, cell_text, grouped_by_file
from pseudorca.formats.whole import write_text


class Audacity(Writer):
    """A label file per recording: start, end, decision."""

    def add(self, portion: Portion) -> None:
        by_file = grouped_by_file(portion.selections, portion.recordings)
        for recording_id in portion.recordings["recording_id"]:
            lines = [
                f"{row.start_s:.6f}\t{row.end_s:.6f}\t{cell_text(row.decision)}\n"
                for row in by_file.get(recording_id, ())
            ]
            target = f"{self.about.target[recording_id]}.txt"
            self.written.append(write_text(lines, self.about.folder / "audacity" / target))
