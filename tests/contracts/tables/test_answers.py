"""What answers of the Table service are read as, in the shapes that RFC 2046, the service and its emulator give them.

The texts have the shapes of learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions and of
status-and-error-codes2.
"""

from __future__ import annotations

import pytest

from adapters.table_answers import Answer, UnreadableAnswer, parts
from adapters.table_operations import NoRow, NoTable, meaning
from kernel.errors import Unavailable
from kernel.tables import RowChanged, RowExists, RowTooLarge

BATCH = "batchresponse_6f0e4f1c-31f7-4e83-93c4-2e2b3b8a52d1"
CHANGES = "changesetresponse_0e4c1b0e-7f0b-4c59-8a63-9a0d0b0f3c77"
PART = f"--{CHANGES}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
DONE = (
    PART + "HTTP/1.1 204 No Content\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\n"
    "Preference-Applied: return-no-content\r\nDataServiceVersion: 3.0;\r\n"
    "Location: https://name.table.core.windows.net/runs(PartitionKey='p',RowKey='a')\r\n"
    "ETag: W/\"datetime'2026-11-30T11%3A52%3A58.2842719Z'\"\r\n\r\n\r\n"
)
DELETED = PART + "HTTP/1.1 204 No Content\r\nCache-Control: no-cache\r\nDataServiceVersion: 1.0;\r\n\r\n\r\n"
TAKEN = (
    PART + "HTTP/1.1 409 Conflict\r\nX-Content-Type-Options: nosniff\r\nContent-ID: 2\r\nDataServiceVersion: 3.0;\r\n"
    "Content-Type: application/json;odata=minimalmetadata;streaming=true;charset=utf-8\r\n\r\n"
    '{"odata.error":{"code":"EntityAlreadyExists","message":{"lang":"en-US","value":"1:The specified entity already '
    'exists.\\nRequestId:d5910240-0686-4dfa-9045-6f6e0a44d629\\nTime:2026-11-30T11:52:58.3020000Z"}}}\r\n'
)
IN_XML = (
    PART + "HTTP/1.1 400 Bad Request\r\nDataServiceVersion: 1.0;\r\nContent-Type: application/xml;charset=utf-8\r\n\r\n"
    '<?xml version="1.0" encoding="utf-8"?><error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">'
    '<code>InvalidInput</code><message xml:lang="en-US">0:One of the request inputs is not valid.</message></error>\r\n'
)
ETAG = "W/\"datetime'2026-11-30T11%3A52%3A58.2842719Z'\""


def whole(*responses: str) -> str:
    head = f"--{BATCH}\r\nContent-Type: multipart/mixed; boundary={CHANGES}\r\n\r\n"
    return f"{head}{''.join(responses)}--{CHANGES}--\r\n--{BATCH}--\r\n"


def read(text: str, content_type: str = f"multipart/mixed; boundary={BATCH}") -> list[tuple[int, str, str | None]]:
    found = parts(Answer(202, {"content-type": content_type}, text.encode()))
    return [(each.status, each.etag, each.code) for each in found]


def test_each_operation_has_its_answer_in_order() -> None:
    """With the ETag of what was written, and none for what was deleted."""
    assert read(whole(DONE, DELETED, DONE)) == [(204, ETAG, None), (204, "", None), (204, ETAG, None)]


def test_a_failed_transaction_has_one_answer() -> None:
    """That of the operation that failed, with its code in JSON or in XML."""
    assert read(whole(TAKEN)) == [(409, "", "EntityAlreadyExists")]
    assert read(whole(IN_XML)) == [(400, "", "InvalidInput")]


@pytest.mark.parametrize(
    "text",
    [
        whole(DONE, TAKEN).replace("\r\n", "\n"),
        "This is a multipart message.\r\n\r\n" + whole(DONE, TAKEN),
        whole(DONE, TAKEN) + "an epilogue\r\n--" + BATCH + "\r\n",
        "\r\n" + whole(DONE, TAKEN),
        whole(DONE, TAKEN).rstrip(),
        whole(DONE, TAKEN)
        .replace(f"--{BATCH}\r\n", f"--{BATCH} \t\r\n")
        .replace(f"--{CHANGES}\r\n", f"--{CHANGES} \r\n"),
        whole(DONE, TAKEN).replace(f"boundary={CHANGES}", f'boundary="{CHANGES}"'),
        whole(DONE, TAKEN).replace("Content-Type: m", "content-type:m").replace("ETag", "etag"),
        whole(DONE, TAKEN).replace("HTTP/1.1 204 No Content", "HTTP/1.1 204"),
        whole(DONE, TAKEN).replace("\r\n\r\n\r\n--", "\r\n\r\n--"),
    ],
    ids=["LF", "preamble", "epilogue", "empty line", "no end", "blanks", "quoted", "case", "no reason", "less space"],
)
def test_every_form_that_the_standard_allows_is_read(text: str) -> None:
    """Line ends, what stands before and after, quotes, blanks and case make no difference."""
    assert read(text) == [(204, ETAG, None), (409, "", "EntityAlreadyExists")]
    assert read(text, f'Multipart/Mixed;charset=utf-8; Boundary="{BATCH}"') == read(text)


@pytest.mark.parametrize("value", [f"--{CHANGES}--", f"--{CHANGES}", f"\\r\\n--{BATCH}--\\r\\n", "HTTP/1.1 500 No"])
def test_what_looks_like_a_boundary_in_a_text_is_none(value: str) -> None:
    """A boundary begins a line, and JSON writes the end of a line as two characters."""
    assert read(whole(TAKEN.replace("1:The", value))) == [(409, "", "EntityAlreadyExists")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        whole(),
        whole(DONE)[:-60],
        whole(DONE).replace(f"--{CHANGES}--", ""),
        whole(DONE).replace(f"--{BATCH}--", ""),
        whole(DONE).replace("application/http", "text/plain"),
        whole(DONE).replace("HTTP/1.1 204", "HTTP/1.1 20"),
        whole(DONE).replace("HTTP/1.1 204", "204"),
        whole(DONE).replace(f"boundary={CHANGES}", "boundary=other"),
        whole(DONE).replace(f"; boundary={CHANGES}", ""),
        '{"odata.error":{"code":"EntityAlreadyExists"}}',
    ],
    ids=lambda text: str(len(text)),
)
def test_an_answer_that_broke_off_is_not_read(text: str) -> None:
    """What is not there whole might have said anything."""
    with pytest.raises(UnreadableAnswer):
        read(text)


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/mixed", "multipart/mixed; charset=utf-8"])
def test_an_answer_of_another_type_is_not_read(content_type: str) -> None:
    """Without a boundary there are no parts."""
    with pytest.raises(UnreadableAnswer):
        read(whole(DONE), content_type)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "TableNotFound", NoTable), (404, "ResourceNotFound", NoRow), (404, "EntityNotFound", NoRow),
        (412, "UpdateConditionNotSatisfied", RowChanged), (412, "", RowChanged),
        (409, "EntityAlreadyExists", RowExists),
        (413, "", RowTooLarge), (400, "EntityTooLarge", RowTooLarge), (400, "InvalidInput", ValueError),
        (409, "TableBeingDeleted", Unavailable), (429, "", Unavailable), (503, "ServerBusy", Unavailable),
        (404, "AccountNotFound", Unavailable), (301, "", Unavailable),
    ],
)  # fmt: skip
def test_an_answer_means_the_same_wherever_its_code_stands(status: int, code: str, error: type[Exception]) -> None:
    """In JSON, in XML, in a header; and nothing of what the service says beside it is passed on."""
    said = [
        Answer(status, {}, f'{{"odata.error":{{"code":"{code}","message":{{"value":"0:secret"}}}}}}'.encode()),
        Answer(status, {}, f"<?xml version='1.0'?><m:error><m:code>{code}</m:code>secret</m:error>".encode()),
        Answer(status, {"x-ms-error-code": code}, b""),
        Answer(status, {"x-ms-error-code": code}, b"<html>secret</html>"),
    ]
    meant = [meaning(answer) for answer in said]

    assert {type(each) for each in meant} == {error}
    assert "secret" not in str(meant)


@pytest.mark.parametrize("body", [b"[]", b"null", b'{"odata.error":1}', b'{"odata.error":{"code":null}}', b"\xff"])
def test_an_error_in_no_known_form_is_unavailable(body: bytes) -> None:
    """By its status alone."""
    assert isinstance(meaning(Answer(500, {}, body)), Unavailable)
