import pytest

from tvm_sparse.errors import InputError
from tvm_sparse.text.texts import read_labels, read_texts, take_evenly

pytestmark = pytest.mark.unit


def test_texts_are_the_lines_that_are_not_empty(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeffone\r\n\n  two words \nq\tc\n".encode())
    assert read_texts(path) == ["one", "two words", "q\tc"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no text"),
        (b" \n\t\n\r\n", "holds no text"),
        (b"\x7fELF\x00\x01", "no UTF-8 text"),
        (b"caf\xe9 latin-1", "no UTF-8 text"),
        ("utf-16".encode("utf-16"), "no UTF-8 text"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_texts(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_texts(tmp_path / "none.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_texts(tmp_path)


def test_labels_are_as_many_as_texts(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("0\n1\n")
    assert read_labels(path, 2) == ["0", "1"]
    with pytest.raises(InputError, match="2 labels for 3 texts"):
        read_labels(path, 3)


def test_items_are_taken_evenly():
    assert take_evenly(range(10), None) == list(range(10))
    assert take_evenly(range(10), 20) == list(range(10))
    assert take_evenly(range(10), 5) == [0, 2, 4, 6, 8]
    assert take_evenly(range(10), 3) == [0, 3, 6]
