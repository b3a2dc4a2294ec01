"""TensorBoard's files on a disk that fills up: whole records, one complaint, and curves go on."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import SummaryWriter

from mario_a3c.monitoring.event_files import RecordFile, event_folder
from tests.disks import fill, largest_file, make_read_only, small_disk

RECORDS = [bytes([index]) * (10 + index) for index in range(20)]


def test_a_disk_that_is_full_at_any_byte_leaves_whole_records(tmp_path):
    for size in range(sum(map(len, RECORDS))):
        complaints: list[str] = []
        file = RecordFile(tmp_path / f"file-{size}", complaints.append)
        with largest_file(size):
            for record in RECORDS:
                file.write(record)
                file.flush()
        written = (tmp_path / f"file-{size}").read_bytes()
        assert written == b"".join(record for record in RECORDS if bytes([record[0]]) in written)
        assert len(complaints) >= 1
        assert "could not be written to" in complaints[0]


def test_what_fails_again_and_again_is_told_once_until_it_works_again(tmp_path):
    complaints: list[str] = []
    file = RecordFile(tmp_path / "file", complaints.append)
    for room in (0, 0, 0, 100, 0, 0):
        with largest_file((tmp_path / "file").stat().st_size + room if room else 0):
            file.write(b"record")
            file.flush()
    assert len(complaints) == 2
    assert (tmp_path / "file").read_bytes() == b"record"


def test_curves_go_on_when_a_full_disk_has_room_again(tmp_path: Path):
    complaints: list[str] = []
    with small_disk(tmp_path / "disk", 2**18) as disk:
        writer = SummaryWriter(event_folder(disk, complaints.append))
        filler = fill(disk)
        for step in range(2000):  # more than the queue of tensorboardX holds
            writer.add_scalar("score", float(step), step)
        writer.flush()
        assert len(complaints) == 1
        filler.unlink()
        writer.add_scalar("score", 2000.0, 2000)
        writer.close()
        events = EventAccumulator(str(disk))
        events.Reload()
        steps = [event.step for event in events.Scalars("score")]
    assert steps[-1] == 2000
    assert steps == sorted(set(steps))


def test_a_disk_that_becomes_read_only_leaves_whole_records_and_is_told_once(tmp_path):
    complaints: list[str] = []
    with small_disk(tmp_path / "disk", 2**18) as disk:
        file = RecordFile(disk / "file", complaints.append)
        file.write(b"record")
        file.flush()
        make_read_only(disk)
        for _ in range(3):
            file.write(b"lost")
            file.flush()
        assert (disk / "file").read_bytes() == b"record"
        assert complaints == [
            f"Curves could not be written to {disk / 'file'}: Read-only file system."
        ]
