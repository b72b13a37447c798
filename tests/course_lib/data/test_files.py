"""Finding and downloading, without a network: the addresses are files of this machine."""

import hashlib

import pytest

from course_lib.data import files

CONTENT = b"some images"
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """An empty folder for downloads."""
    monkeypatch.delenv("COURSE_DATA", raising=False)
    folder = tmp_path / "own"
    monkeypatch.setattr(files, "own_folder", lambda: folder)
    return folder


@pytest.fixture
def address(tmp_path):
    """Where the right file can be downloaded."""
    (tmp_path / "server").write_bytes(CONTENT)
    return (tmp_path / "server").as_uri()


def test_a_file_is_downloaded_once(own, address, tmp_path):
    file = files.fetch("images", "set/file", [address], SUM)
    assert file == own / "set" / "file" and file.read_bytes() == CONTENT
    (tmp_path / "server").unlink()
    assert files.fetch("images", "set/file", [address], SUM) == file


def test_the_next_address_is_tried(own, address):
    assert files.fetch("images", "file", [address + "-gone", address], SUM).read_bytes() == CONTENT


def test_a_download_with_another_checksum_is_thrown_away(own, address):
    with pytest.raises(RuntimeError, match="hash"):
        files.fetch("images", "set/file", [address], hashlib.sha256(b"other").hexdigest())
    assert not list((own / "set").iterdir())


def test_a_damaged_file_is_downloaded_again(own, address):
    own.mkdir()
    (own / "file").write_bytes(CONTENT[:-1])
    assert files.find("file", SUM) is None
    assert files.fetch("images", "file", [address], SUM).read_bytes() == CONTENT


def test_without_a_network_the_message_says_what_to_do(own, tmp_path):
    gone = (tmp_path / "nowhere").as_uri()
    with pytest.raises(RuntimeError) as error:
        files.fetch("images", "set/file", [gone], SUM)
    for word in ("'images'", gone, "COURSE_DATA", "set/file", "data.digits()"):
        assert word in str(error.value)


def test_course_data_comes_first_and_is_only_read(own, address, tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "file").write_bytes(CONTENT)
    monkeypatch.setenv("COURSE_DATA", str(shared))
    assert files.fetch("images", "file", [address + "-gone"], SUM) == shared / "file"
    # What it lacks goes to our own folder.
    assert files.fetch("images", "other", [address], SUM) == own / "other"
    assert [path.name for path in shared.iterdir()] == ["file"]


def test_a_damaged_file_in_course_data_is_reported(own, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"damaged")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="file is damaged.*COURSE_DATA"):
        files.find("file", SUM)


def test_course_data_must_be_a_folder(own, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "missing"))
    with pytest.raises(ValueError, match="not a folder"):
        files.find("file", SUM)


def test_downloads_go_to_the_repository_or_else_to_a_cache(tmp_path, monkeypatch):
    assert (files.own_folder() / "README.md").exists()
    monkeypatch.setattr(files, "__file__", str(tmp_path / "site-packages" / "course_lib" / "data" / "files.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert files.own_folder() == tmp_path / "cache" / "deep-generative-models-course"
