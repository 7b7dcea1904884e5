"""What varies between runs goes; what a reader or a renderer needs stays."""

import copy
import sys
from pathlib import Path

from workspace.fakes import notebook_json

from pmdlib.workspace.cleaning import clean_notebook


def cleaned_output(output, **options):
    document = notebook_json(["1"])
    document["cells"][0]["outputs"] = [output]
    before = copy.deepcopy(document)
    clean = clean_notebook(document, {"own-0"}, **options)
    assert document == before, "the argument is not changed"
    return clean["cells"][0]["outputs"]


def stream(text, **options):
    outputs = cleaned_output({"output_type": "stream", "name": "stderr", "text": text}, **options)
    return outputs[0]["text"] if outputs else None


def test_text_loses_addresses_process_ids_and_directories():
    assert stream("<f at 0x7f12ab>") == "<f at 0x0>"
    assert stream("/tmp/ipykernel_812/99.py:3: UserWarning") == "<cell>:3: UserWarning"
    assert stream(f"{sys.prefix}/lib/x.py") == "<environment>/lib/x.py"
    assert stream(f"see {Path.home()}/x") == "see ~/x"
    work = {Path("/data/place"): "."}
    assert stream("in /data/place/notebooks", paths=work) == "in ./notebooks"
    assert stream("/data/placebo other/data/place", paths=work) == "/data/placebo other/data/place"


def test_only_what_a_terminal_shows_last_stays():
    assert stream("0%|   |\r50%|## |\r100%|###|\nnext\n") == "100%|###|\nnext\n"
    assert stream("Matplotlib is building the font cache; this may take a moment.\n") is None


def test_images_and_records_are_left_as_they_are():
    data = {"image/png": "at 0x12", "application/x+json": {"a": "at 0x12"}, "text/html": "at 0x12"}
    (output,) = cleaned_output({"output_type": "display_data", "metadata": {}, "data": data})
    assert output["data"] == data | {"text/html": "at 0x0"}


def test_tracebacks_are_scrubbed():
    error = {
        "output_type": "error",
        "ename": "E",
        "evalue": f"{sys.prefix}/x",
        "traceback": ["at 0xfe"],
    }
    (output,) = cleaned_output(error)
    assert (output["evalue"], output["traceback"]) == ("<environment>/x", ["at 0x0"])


def test_metadata_keeps_tags_and_titles_only():
    document = notebook_json([("hide-input", "1"), ("injected-parameters", "2"), "3"])
    document["metadata"] |= {"papermill": {"duration": 1}, "title": "T", "language_info": {"v": 1}}
    for cell in document["cells"]:
        cell["metadata"] |= {"papermill": {"start_time": "now"}, "execution": {"x": "now"}}
        cell["id"] = "random"
    document["cells"][2]["id"] = "own"
    clean = clean_notebook(document, {"own"})
    assert [cell["id"] for cell in clean["cells"]] == ["cell-0", "injected-parameters", "own"]
    assert clean["cells"][0]["metadata"] == {"tags": ["hide-input"]}
    assert set(clean["metadata"]) == {"kernelspec", "language_info", "title"}
    assert "version" not in clean["metadata"]["language_info"]
