"""The tables of other data sets are read as their authors meant them, or refused by name."""

import json
from pathlib import Path

import pytest

from recognizer.data.formats import read_dataset
from recognizer.data.sample import DataError


@pytest.fixture
def pictures(competition: Path) -> Path:
    """A folder with `000.jpg` to `011.jpg` and nothing else."""
    folder = competition.parent / "pictures"
    folder.mkdir()
    for number, path in enumerate(sorted((competition / "train_images").iterdir())):
        path.rename(folder / f"{number:03}.jpg")
    return folder


def labels(folder: Path) -> dict[str, str]:
    return {sample.name: "".join(sample.tokens) for sample in read_dataset(folder).samples}


def refusal(folder: Path, **options) -> str:
    with pytest.raises(DataError) as error:
        read_dataset(folder, **options)
    return str(error.value)


def move(folder: Path, below: str, *names: str) -> None:
    (folder / below).mkdir(exist_ok=True)
    for name in names:
        (folder / name).rename(folder / below / name)


# --------------------------------------------------------------------------------------------------- pairs


@pytest.mark.parametrize(
    "name", ["GT.TXT", "labels.TSV", "labels.txt", "caption.txt", "train_labels.txt", "2014_labels.txt"]
)
def test_pairs_have_many_names(pictures, name):
    (pictures / name).write_text("000.jpg\tx\n001.jpg\ty\n")
    assert labels(pictures) == {"000.jpg": "x", "001.jpg": "y"}


def test_vocabulary_and_sources_are_found_in_capitals_too(pictures):
    """As a camera's card or an old program writes all names; they were read as if nobody had written them."""
    (pictures / "GT.TXT").write_text("000.jpg\tx\n")
    (pictures / "TOKENS.TXT").write_text("x\ny\n")
    (pictures / "SOURCE.TXT").write_text("000.jpg\t1\n")
    dataset = read_dataset(pictures)
    assert dataset.samples[0].source == "handwritten"
    assert dataset.vocabulary is not None and "y" in dataset.vocabulary


@pytest.mark.parametrize("folder", ["", "images", "img", "train_images", "train", "train_labels"])
def test_pictures_without_suffix_are_found(pictures, folder):
    """CROHME's and HME100K's tables leave the suffix out, and keep the pictures in a folder of their name."""
    if folder:
        move(pictures, folder, "000.jpg")
    (pictures / "train_labels.txt").write_text("000\tx\n")
    (sample,) = read_dataset(pictures).samples
    assert sample.load().shape == (40, 60, 3)


def test_train_and_test_of_one_folder_have_their_own_pictures(pictures):
    """Both are numbered from 0: the test's label must not go with training's picture."""
    for number, side in enumerate(["train", "test"]):
        move(pictures, f"{side}_images", f"{number:03}.jpg")
        (pictures / f"{side}_images" / f"{number:03}.jpg").rename(pictures / f"{side}_images" / "0.jpg")
        (pictures / f"{side}_labels.txt").write_text(f"0\t{number}\n")
    widths = {sample.tokens: sample.load().shape[1] for sample in read_dataset(pictures).samples}
    assert widths == {("0",): 60, ("1",): 80}
    (pictures / "test_images" / "0.jpg").unlink()
    assert "test_labels.txt:1: picture '0' is missing" in refusal(pictures)


def test_a_name_without_suffix_must_mean_one_picture(pictures):
    (pictures / "001.jpg").rename(pictures / "000.png")
    (pictures / "caption.txt").write_text("000\tx\n")
    assert "caption.txt:1: picture '000' may be '000.jpg' or '000.png'" in refusal(pictures)


def test_a_third_column_is_refused(pictures):
    """It was read as a part of the label: every picture seemed to show the word train."""
    (pictures / "gt.txt").write_text("000.jpg\tx^2\ttrain\n")
    assert "gt.txt:1: 3 columns in '000.jpg\\tx^2\\ttrain'; expected name<TAB>label" in refusal(pictures)
    (pictures / "gt.txt").write_text("000.jpg\tx\t\n")
    assert labels(pictures) == {"000.jpg": "x"}  # an empty one holds nothing


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ('000.jpg\t"f(x,y)=xy"', "f(x,y)=xy"),
        ('000.jpg\t"a""b"', 'a"b'),
        ('"000.jpg"\t"xy"', "xy"),  # R quotes everything
        ('000.jpg\t"xy"', '"xy"'),  # nobody would have quoted that: it is what the picture shows
        ('000.jpg\t"a","b"', '"a","b"'),
    ],
)
def test_quotes_of_a_table_program_are_no_part_of_the_label(pictures, row, label):
    (pictures / "labels.tsv").write_text(row + "\n")
    assert labels(pictures) == {"000.jpg": label}


# ----------------------------------------------------------------------------------------------------- CSV


def test_csv_with_what_only_quotes_can_hold(pictures):
    (pictures / "train.csv").write_bytes(
        b'\xef\xbb\xbfFileName,Formula,source,Level\r\n000.jpg,"f(x,y)",scan,2\r\n\r\n'
        b'001.jpg,"a \\\\\r\nb",,\r\n002.jpg,"""c""",,\r\n'
    )
    samples = read_dataset(pictures).samples
    assert ["".join(sample.tokens) for sample in samples] == ["f(x,y)", r"\begin{matrix}a\\b\end{matrix}", '"c"']
    assert [sample.origin for sample in samples] == ["train.csv:2", "train.csv:4", "train.csv:6"]
    assert (samples[0].source, samples[0].level, samples[0].dataset) == ("scan", "2", "train")
    assert (samples[1].source, samples[1].level, samples[1].group) == (
        "unknown",
        "unknown",
        "formula:" + " ".join(samples[1].tokens),
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("image;latex\n000.jpg;x\n", "labels.csv:1: not a header, separated by commas"),
        ("image,latex,label\n000.jpg,x,y\n", "labels.csv:1: not a header, separated by commas: ['latex', 'label']"),
        ("\nid,latex\n1,x\n", "labels.csv:2: not a header, separated by commas: one of image, filename"),
        ("", "labels.csv:1: not a header"),
        ('image,latex\n000.jpg,"x\n', "labels.csv:2: not CSV"),
        ("image,latex\n000.jpg,f(x,y)\n", "labels.csv:2: 3 fields; the header has 2: image, latex"),
        ("image,latex\n000.jpg,\n", 'labels.csv:2: key "latex" must be text that isn\'t empty'),
        ("image,latex\n000.jpg,\\\\frac12\n", "labels.csv:2: the label holds \\\\frac"),
    ],
)
def test_a_fault_of_a_csv_names_line_and_columns(pictures, text, fault):
    (pictures / "labels.csv").write_text(text)
    assert fault in refusal(pictures)


def test_a_bad_header_is_no_bad_sample(pictures):
    """Left out, the first picture would become the header."""
    (pictures / "gt.txt").write_text("000.jpg\tx\n")
    (pictures / "labels.csv").write_text("a,b\n001.jpg,x\n")
    assert "labels.csv:1: not a header" in refusal(pictures, on_bad_sample="skip")


# --------------------------------------------------------------------------------------- JSON Lines by alias


@pytest.mark.parametrize("name", ["metadata.jsonl", "data.JSONL", "data.ndjson"])
@pytest.mark.parametrize("keys", [("file_name", "text"), ("image_path", "normalizedLabel"), ("img", "tex")])
def test_json_lines_of_others(pictures, name, keys):
    (pictures / name).write_text(json.dumps(dict(zip(keys, ("000.jpg", "x^2"), strict=True))) + "\n")
    assert labels(pictures) == {"000.jpg": "x^{2}"}


def test_hugging_faces_folder_of_pictures(pictures):
    (pictures / "metadata.csv").write_text("file_name,text\n000.jpg,x\n")
    assert labels(pictures) == {"000.jpg": "x"}


# ------------------------------------------------------------------------------------------------ im2latex


@pytest.fixture
def im2latex(pictures: Path) -> Path:
    (pictures / "im2latex_formulas.lst").write_bytes(b"x\n\n\\alpha\r\ny\xe7\n")
    (pictures / "im2latex_train.lst").write_text("2 000 basic\n0 001 basic\n")
    move(pictures, "formula_images", "000.jpg", "001.jpg", "002.jpg")
    return pictures


def test_im2latex_takes_the_formula_of_the_line(im2latex, capsys):
    """Lines are counted from 0, empty ones too: one too few, and every picture has its neighbour's formula."""
    assert labels(im2latex) == {"formula_images/000": r"\alpha", "formula_images/001": "x"}
    assert "not read" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("4 002 basic", "no formula 4 in im2latex_formulas.lst, which has 0 to 3"),
        ("-1 002 basic", "is not INDEX NAME [RENDERING]"),
        ("002.jpg 2", "is not INDEX NAME [RENDERING]"),
        ("1 002", "the label is empty"),
        ("3 002", "bytes that aren't UTF-8"),
        ("2 gone", "picture 'gone' is missing; looked in formula_images/"),
    ],
)
def test_a_bad_row_of_im2latex_is_named(im2latex, row, fault):
    with (im2latex / "im2latex_train.lst").open("a") as file:
        file.write(row + "\n")
    message = refusal(im2latex)
    assert "im2latex_train.lst:3: " in message and fault in message


def test_im2latex_needs_one_file_of_formulas(im2latex):
    (im2latex / "formulas.lst").write_text("other\n")
    assert "im2latex_train.lst:1: expected one file of formulas" in refusal(im2latex)
    for path in im2latex.glob("*formulas.lst"):
        path.unlink()
    assert "im2latex_train.lst:1: expected one file of formulas" in refusal(im2latex, on_bad_sample="skip")
