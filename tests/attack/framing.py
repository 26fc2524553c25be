"""Requests whose end two parsers may see in two places: all are refused, and the connection ends with them."""

from tests.attack.cases import INVALID, NOT_HTTP, NOTHING, TOO_LARGE, post, request, table

HIDDEN = b"DELETE /api/leases/database?purge=true HTTP/1.1\r\nHost: h\r\n\r\n"
LENGTHS = (
    "+5", "-5", "0x5", "5,5", "5, 5", "5 5", "5;", "5.0", "1e1", "five", "", "\u00b2", "5\x0b", "05 ", "_5", "5_0",
    "99999999999999999999", "18446744073709551616", "1" * 500, "5\x00", "'5'", "5\t6",
)  # fmt: skip
CODINGS = (
    "xchunked", "chunked, identity", "chunked, chunked", "gzip", "identity", "chunked;q=1", "chunked\x0b", 
    "\x0bchunked",
    "chunked x", "chun ked", '"chunked"', "chunked\x00", "", ",", "chunked, gzip", "cow", "chunk", "chunke", "chunkedd",
)  # fmt: skip
SIZES = (
    "-1", "+1", "0x1", "g", "", " ", "1 1", "1\x00", "\u00b9", "1_0", "FFFFFFFFFFFFFFFFF", "1" * 400, "1\t", "1 ",
    "1\x0b",
    "1.0", "1,", "\xd9\xa1",
)  # fmt: skip


def body(*headers: str | bytes, content: bytes = b"abcde") -> bytes:
    """A create_db that frames its content as its headers say."""
    return request("/api/create_db", *headers, method="POST") + content


def chunked(content: bytes, *headers: str | bytes) -> bytes:
    return body("Transfer-Encoding: chunked", *headers, content=content)


LENGTH = table("length", [
    *((f"{length!a:.30}", body(f"Content-Length: {length}"), NOT_HTTP) for length in LENGTHS if length != "05 "),
    ("twice the same", body("Content-Length: 5", "Content-Length: 5"), NOT_HTTP),
    ("twice, another", body("Content-Length: 5", "Content-Length: 6"), NOT_HTTP),
    ("twice, in two cases", body("Content-Length: 5", "content-length: 0"), NOT_HTTP),
    ("a blank before its colon", body("Content-Length : 5"), NOT_HTTP),
    ("folded", body("Content-Length:\r\n 5"), NOT_HTTP),
    ("folded after a digit", body("Content-Length: 5\r\n 0"), NOT_HTTP),
    ("a line feed behind it", body("Content-Length: 5\nX: y"), NOT_HTTP),
    ("100 MB", body("Content-Length: 100000000"), TOO_LARGE),
    ("2^63 - 1", body("Content-Length: 9223372036854775807"), TOO_LARGE),
    ("under another name", body("Content_Length: 5", content=b""), INVALID),
])  # fmt: skip

CODING = table("coding", [
    *((f"{coding!a}", body(f"Transfer-Encoding: {coding}", content=b"0\r\n\r\n"), NOT_HTTP) for coding in CODINGS),
    ("chunked and a length", chunked(b"0\r\n\r\n" + HIDDEN, "Content-Length: 5"), NOT_HTTP),
    ("a length and chunked", body("Content-Length: 5", "Transfer-Encoding: chunked", content=b"0\r\n\r\n"), NOT_HTTP),
    ("chunked and a length of 0", chunked(b"0\r\n\r\n", "Content-Length: 0"), NOT_HTTP),
    ("chunked twice", chunked(b"0\r\n\r\n", "Transfer-Encoding: chunked"), NOT_HTTP),
    ("chunked, then identity", chunked(b"0\r\n\r\n", "Transfer-Encoding: identity"), NOT_HTTP),
    ("a blank before its colon", body("Transfer-Encoding : chunked", content=b"0\r\n\r\n" + HIDDEN), NOT_HTTP),
    ("a tab before its colon", body("Transfer-Encoding\t: chunked", content=b"0\r\n\r\n" + HIDDEN), NOT_HTTP),
    ("folded", body("Transfer-Encoding:\r\n chunked", content=b"0\r\n\r\n" + HIDDEN), NOT_HTTP),
    ("behind a line feed", body("X: y\nTransfer-Encoding: chunked", content=b"0\r\n\r\n" + HIDDEN), NOT_HTTP),
    ("behind a carriage return", body("X: y\rTransfer-Encoding: chunked", content=b"0\r\n\r\n"), NOT_HTTP),
    ("with NUL in its name", body("Transfer-\x00Encoding: chunked", content=b"0\r\n\r\n"), NOT_HTTP),
    ("in HTTP/1.0", chunked(b"0\r\n\r\n" + HIDDEN).replace(b"HTTP/1.1", b"HTTP/1.0", 1), NOT_HTTP),
    ("under another name", body("Transfer_Encoding: chunked", content=b""), INVALID),
])  # fmt: skip

CHUNKS = table("chunk", [
    *((f"of size {size!a:.24}", chunked(size.encode("latin-1") + b"\r\na\r\n0\r\n\r\n"), NOT_HTTP) for size in SIZES),
    ("sizes end with a line feed", chunked(b"1\na\r\n0\r\n\r\n"), NOT_HTTP),
    ("the last size ends with a line feed", chunked(b"0\n\n" + HIDDEN), NOT_HTTP),
    ("longer than it says", chunked(b"1\r\nabc\r\n0\r\n\r\n"), NOT_HTTP),
    ("no line end behind it", chunked(b"1\r\na0\r\n\r\n"), NOT_HTTP),
    ("a line feed behind it", chunked(b"1\r\na\n0\r\n\r\n"), NOT_HTTP),
    ("an extension with a line feed", chunked(b"1;x=\ny\r\na\r\n0\r\n\r\n" + HIDDEN), NOT_HTTP),
    ("an extension with NUL", chunked(b"1;\x00\r\na\r\n0\r\n\r\n"), NOT_HTTP),
    ("a trailer without a colon", chunked(b"0\r\nno trailer\r\n\r\n"), NOT_HTTP),
    ("a trailer that is folded", chunked(b"0\r\nX: y\r\n z\r\n\r\n"), NOT_HTTP),
    ("a trailer with a blank in its name", chunked(b"0\r\nX Y: z\r\n\r\n"), NOT_HTTP),
    ("70,000 bytes", chunked(b"11170\r\n" + b" " * 70_000 + b"\r\n0\r\n\r\n"), TOO_LARGE),
    ("70,000 of one byte", chunked(b"1\r\n \r\n" * 70_000 + b"0\r\n\r\n"), TOO_LARGE),
    ("nothing in it", chunked(b"0\r\n\r\n"), INVALID),
    ("a trailer that names another", chunked(b"0\r\nX-ARR-ClientCert: AAAA\r\n\r\n"), INVALID),
])  # fmt: skip

SMUGGLED = table("smuggled", [
    ("as the body of a GET", request("/api/nothing", f"Content-Length: {len(HIDDEN)}") + HIDDEN, NOTHING),
    ("as the body of a HEAD", request("/api/nothing", f"Content-Length: {len(HIDDEN)}", method="HEAD") + HIDDEN, "404"),
    ("as the body of a POST", post("/api/create_db", body=HIDDEN), INVALID),
    ("as a chunk", chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)), INVALID),
    ("behind an upgrade", request("/api/nothing", "Connection: Upgrade", "Upgrade: x", body=HIDDEN), NOTHING),
    ("in a header", request("/api/nothing", b"X-One: " + HIDDEN.split(b"\r\n")[0]), NOTHING),
    ("behind a request that is none", b"GET / HTTP/1.1\r\nBad\r\n\r\n" + HIDDEN, NOT_HTTP),
    ("behind a body that is too large", body("Content-Length: 70000", content=HIDDEN), TOO_LARGE),
])  # fmt: skip
