"""Whatever a trace holds, it stays inside the answers' marked sections and inside their bounds."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.support.inquiry import dataset_in, step, trace
from tests.support.inquiry_kit import Kit
from tests.support.job import writing

from hansei.demo.rows import Rows
from hansei.demo.tables import Schema
from hansei.demo.writer import write
from hansei.tools.clickhouse import open_reader
from hansei.tools.inquiry.bounds import Bounds
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.untrusted import CLOSING, OPENING

Place = tuple[str, Schema, Dataset]


@pytest.fixture(scope="module", params=["v3", "v4"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    url = f"chdb://{tmp_path_factory.mktemp('payloads')}?database=lf"
    with writing(url) as client:
        reader = open_reader(url)
        yield url, request.param, dataset_in(client, reader, request.param)
        reader.close()


PAYLOADS = st.text(
    st.sampled_from(list("</data> \n\r\t\0[]INST|｜@.+-()0123456789{}\"'\\`é日😀\u202e\u200b\u2028\ufeff\U000e0041")),
    min_size=1,
    max_size=60,
)  # fmt: skip


@settings(
    max_examples=6, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
@given(payloads=st.lists(PAYLOADS, min_size=12, max_size=12), times=st.sampled_from([1, 40, 1_000]))
def test_no_payload_breaks_out_of_an_answer(place: Place, payloads: list[str], times: int) -> None:
    url, schema, dataset = place
    id = "p" + hashlib.sha256(repr((payloads, times)).encode()).hexdigest()[:12]
    text = [payload * times for payload in payloads]
    rows = Rows(
        [trace(id, name=text[0], user_id=text[1], release=text[2], tags=[text[3]], input=text[4], output=text[5])],
        [
            step(id, f"{id}-{n}", name=text[6], level="ERROR", status_message=text[7], input=text[8] * (n + 1),
                 output=text[9], model=text[10], metadata={payloads[11]: text[0]}) for n in range(6)
        ],
    )  # fmt: skip
    with writing(url) as client:
        write(client, schema, rows, client.database or "")
    bounds = Bounds(trace_characters=2_500, sql_characters=1_500, sample_characters=1_000, result_characters=2_000_000)
    kit = Kit(dataset, bounds)
    sql = "SELECT name, status_message, model, metadata, input FROM observations WHERE trace_id = {id:String}"
    answers = [
        kit.said("read_trace", trace_id=id),
        kit.said("run_sql", purpose=payloads[0], sql=sql, parameters={"id": id}),
        kit.said("sample_traces", which="any"),
        kit.said("describe_data"),
    ]
    for answer, most in zip(answers, (2_500, 1_500, 1_000, bounds.describe_characters), strict=True):
        assert len(answer) <= most
        assert answer.endswith(CLOSING)
        inside = answer[answer.index(OPENING) + len(OPENING) : -len(CLOSING)].lower()
        assert "<data" not in inside
        assert "</data" not in inside
        assert not [c for c in answer if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cs", "Zl")]
        assert not set(answer) & set("\u202e\u200b\ufeff\U000e0041")
