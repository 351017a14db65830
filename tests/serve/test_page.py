"""The page in a browser: every model of a task is asked, and its row says what it answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import orjson
import pytest
from browser import Browser, browsing
from lookup_pipelines import pipeline_of
from running_server import Running, running

import tvm_sparse
from tvm_sparse.errors import InputError
from tvm_sparse.serve.cards import Fidelity
from tvm_sparse.serve.messages import to_json
from tvm_sparse.serve.pipeline_bodies import answer_body, is_pipeline_body
from tvm_sparse.serve.repository import Repository, Route
from tvm_sparse.text.pipelines import TEXT_TASKS

# Models of tests take short texts.
_CUT = "ignore::tvm_sparse.text.text_model.CutWarning"
pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings(_CUT)]

LONG = "class <b>0</b> " * 60
ANSWERED = (
    "document.querySelectorAll('#rows tr').length == {} && "
    "[...document.querySelectorAll('#rows tr')].every((row) => "
    "row.querySelector('.answer').innerText && !row.classList.contains('asked'))"
)


@pytest.fixture(scope="module")
def pages(config, server) -> Iterator[Running]:
    """Of the models, four for classes: three that were evaluated, and one that fails."""
    one = server.repository.routes["/predict/sentiment"]

    def route(name: str, fidelity: float | None = None, **card: object) -> Route:
        judged = fidelity and Fidelity(fidelity, "same prediction", "the dense one", 100)
        changed = replace(one.card, name=name, path=f"/predict/{name}", fidelity=judged, **card)
        return replace(one, card=changed)

    def refuse(_body: object) -> dict[str, object]:
        raise InputError("<img src=x onerror='document.title = 1'> given")

    def say_much(_body: object) -> dict[str, object]:
        return {"labels": [LONG], "scores": [0.5]}

    routes = [
        route("dense", 1.0),
        replace(route("half", 0.97, sparsity=0.5, blocks=("4x1",)), answer=say_much),
        route("most", 0.9, sparsity=0.95, blocks=("16x1", "4x1")),
        replace(route("broken", fault="its record is cut"), answer=refuse),
    ]
    embed = server.repository.routes["/predict/embed"]
    routes = {one.card.path: one for one in (*routes, embed)}
    with running(Repository(routes=routes, config=config)) as answering:
        yield answering


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def cells(browser: Browser, kind: str) -> list[str]:
    return browser.texts(f"#rows td.{kind}")


def test_all_models_of_a_task_are_asked(pages, browser, artifacts) -> None:
    browser.resize(1280, 900)
    browser.open(f"http://{pages.address}/#text-classification")
    browser.until("document.querySelectorAll('#rows tr').length == 4")
    assert browser.faults() == []
    assert browser.texts("#tasks button") == ["classify (4)", "compare sentences (1)"]
    text = "a small bird sings"
    browser.run("document.getElementById('field-text').value = arguments[0];", text)
    browser.click("#ask")
    browser.until(ANSWERED.format(4))

    (wanted,) = tvm_sparse.pipeline("text-classification", artifacts["classes"], threads=1)([text])
    first, second, third, fourth = cells(browser, "answer")
    assert first == third == wanted["label"]
    assert second == LONG.strip()
    assert fourth == "400: <img src=x onerror='document.title = 1'> given"
    (broken,) = browser.texts("#rows .fault .model")
    assert broken.startswith("broken")
    assert broken.endswith("no fidelity: its record is cut")
    assert browser.texts("#progress") == ["1 model did not answer"]
    scores = browser.texts("#rows td[data-label='score']")
    assert scores[0] == f"{wanted['score']:.3f}"
    server, trip = ([float(one) for one in cells(browser, n)[:3]] for n in ("server", "trip"))
    assert all(0 < inner <= outer for inner, outer in zip(server, trip, strict=True))
    assert cells(browser, "server")[3] == cells(browser, "trip")[3] == ""
    assert browser.texts("#rows td[data-label='sparsity']") == [
        *("dense", "50.0 %", "95.0 %", "dense"),
    ]
    assert browser.texts("#rows td[data-label='blocks']")[2] == "16x1, 4x1"
    # The chart: a point for each model that was evaluated and has answered.
    assert len(browser.run("return [...document.querySelectorAll('#chart > svg .point')];")) == 3
    assert "against the dense one on 100 texts" in browser.texts("#chart-caption")[0]
    assert browser.run("return document.title;") == "Ask the models"
    # The browser tells of the refusal, and of nothing else.
    assert all("400" in one for one in browser.faults())
    # Another task says nothing of this one.
    browser.click("#tasks button:nth-child(2)")
    assert browser.texts("#progress") == [""]


def test_it_fits_a_phone_in_the_dark(pages, browser) -> None:
    browser.resize(390, 844, dark=True)
    browser.open("about:blank")
    browser.open(f"http://{pages.address}/#text-classification")
    browser.until("document.querySelectorAll('#rows tr').length == 4")
    browser.click("#ask")
    browser.until(ANSWERED.format(4))
    assert browser.run("return document.documentElement.scrollWidth;") == 390
    ground = browser.run("return getComputedStyle(document.body).backgroundColor;")
    assert sum(map(int, ground.strip("rgb()").split(","))) < 150
    # What a reader needs stands in the window, and not to the right of it.
    right = "Math.max(...[...document.querySelectorAll('td')].map((e) => "
    right += "e.getBoundingClientRect().right))"
    assert browser.run(f"return {right};") <= 390


def test_another_task(pages, browser) -> None:
    browser.resize(1280, 900)
    browser.open(f"http://{pages.address}/")
    browser.until("document.querySelectorAll('#tasks button').length == 2")
    browser.click("#tasks button:nth-child(2)")
    browser.click("#ask")
    browser.until(ANSWERED.format(1))
    (answer,) = cells(browser, "answer")
    assert len(answer.splitlines()) == 4
    assert not browser.run("return document.getElementById('chart-hint').hidden;")


def test_a_page_without_models(browser) -> None:
    with running(Repository(expected={"slow"})) as empty:
        browser.open(f"http://{empty.address}/")
        browser.until("document.getElementById('about').innerText.includes('loading slow')")
        assert browser.run("return document.getElementById('form').hidden;")
        empty.repository.expected.clear()
        browser.until("document.getElementById('about').innerText.includes('tensors alone')")


def test_every_task_has_a_form(pages, browser, tmp_path) -> None:
    """What the page asks of a task is what its route takes, and it reads what this answers."""
    browser.open(f"http://{pages.address}/")
    run = "return (async () => { const {TASKS} = await import('/page/tasks.js'); return "
    samples = browser.run(
        "return (async () => (await import('/page/samples.js')).SAMPLES)();",
    )
    assert set(samples) == set(TEXT_TASKS)
    for task in TEXT_TASKS:
        pipeline = pipeline_of(task, tmp_path / task / "model")
        for sample in samples[task]:
            ask = f"{run} TASKS['{task}'].body(arguments[0], {{}}); }})();"
            body = browser.run(ask, sample)
            assert is_pipeline_body(task, body)
            reply = orjson.loads(to_json(answer_body(task, pipeline, {}, body)))
            read = f"{run} TASKS['{task}'].read(arguments[1], arguments[0]); }})();"
            lines = browser.run(read, sample, reply)
            assert all(one["text"] for one in lines), (task, lines)
            assert all(np.isfinite(one["score"]) for one in lines if "score" in one)


def test_the_page_of_the_interface(pages, browser) -> None:
    browser.resize(1280, 900)
    browser.open(f"http://{pages.address}/docs")
    browser.faults()
    browser.until("document.querySelectorAll('details.card').length > 10")
    card = "details[data-path='/predict/most']"
    browser.click(f"{card} > summary")
    browser.until(f'document.querySelector("{card} textarea")')
    browser.click(f"{card} .try button")
    browser.until(f"document.querySelector(\"{card} .try pre\").innerText.startsWith('200 in')")
    assert '"labels": [' in browser.texts(f"{card} .try pre")[0]
    assert browser.faults() == []
