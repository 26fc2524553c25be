"""Well-formed requests for what nobody may, can or should ask."""

import json

from tests.attack.cases import (
    HARMLESS,
    INVALID,
    NOBODY,
    NOT_HTTP,
    NOTHING,
    STALE,
    TOO_LARGE,
    post,
    request,
    table,
)  # fmt: skip
from tests.http.test_bodies import BAD
from tests.http.test_enrolments import csr
from tests.http.test_leases_steered import NO_HOLD

DEEP = 16_000
OBJECTS = {
    "a number of 5,000 digits": b'{"user_id": ' + b"9" * 5000 + b"}",
    "a number beyond all": b'{"user_id": 1e999999}',
    "minus nothing": b'{"user_id": -0}',
    "NaN": b'{"user_id": NaN}',
    "Infinity": b'{"user_id": -Infinity}',
    "lists in lists": b'{"user_id": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "objects in objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "NUL escaped": b'{"user_id": "a\\u0000b"}',
    "NUL itself": b'{"user_id": "a\x00b"}',
    "NUL behind it": b'{"user_id": "alice"}\x00',
    "a control character": b'{"user_id": "a\x01b"}',
    "a line break": b'{"user_id": "a\\r\\nb"}',
    "an escape that is none": b'{"user_id": "\\x41"}',
    "an escape cut off": b'{"user_id": "\\u00',
    "UTF-8 that is too long": b'{"user_id": "\xc0\xaf"}',
    "UTF-8 of a surrogate": b'{"user_id": "\xed\xa0\x80"}',
    "UTF-32": '{"user_id": "alice"}'.encode("utf-32"),
    "UTF-7": b"+AHsAIg-user_id+ACI-: +ACI-alice+ACIAfQ-",
    "a comment": b'{"user_id": "alice" /* x */}',
    "a comma too many": b'{"user_id": "alice",}',
    "a key without quotes": b'{user_id: "alice"}',
    "a path": b'{"user_id": "../../etc/passwd%00"}',
    "a blank": b'{"user_id": "al ice"}',
    "SQL": b'{"user_id": "alice\\"; DROP TABLE leases; --"}',
    "a script": b'{"user_id": "<script>alert(1)</script>"}',
    "a template": b'{"user_id": "{{7*7}}"}',
    "text from right to left": '{"user_id": "\u202eecila"}'.encode(),
    "a letter that looks like another": '{"user_id": "\u0430lice"}'.encode(),
    "letters of full width": '{"user_id": "\uff41lice"}'.encode(),
    "an ü of two characters": '{"user_id": "u\u0308"}'.encode(),
    "a class to be made": b'{"__class__": "os.system", "user_id": ["id"]}',
    "a prototype": b'{"__proto__": {"user_id": "alice"}}',
    "XML": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    "YAML": b"user_id: alice",
    "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.",
    "a form's parts": b'--x\r\nContent-Disposition: form-data; name="user_id"\r\n\r\nalice\r\n--x--\r\n',
    "a name of 60,000 characters": b'{"user_id": "' + b"a" * 60_000 + b'"}',
    "5,000 keys": json.dumps({f"k{number}": 0 for number in range(5000)}).encode(),
}  # fmt: skip
OTHERS = {
    "bob": b'{"user_id": "bob"}',
    "bob, after alice": b'{"user_id": "alice", "user_id": "bob"}',
    "bob, escaped": b'{"user_id": "\\u0062ob"}',
    "alice in capitals": b'{"user_id": "Alice"}',
    "alice with a dot": b'{"user_id": "alice."}',
}

BODIES = table("body", [
    *((kind, post("/api/create_db", body=body), INVALID) for kind, (body, _) in BAD.items() if body),
    *((kind, post("/api/create_db", body=body), INVALID) for kind, body in OBJECTS.items()),
    *((f"of {kind}", post("/api/create_db", body=body), NOTHING) for kind, body in OTHERS.items()),
    ("a byte too many", post("/api/create_db", body=b" " * 65_537), TOO_LARGE),
])  # fmt: skip
HOLDS = table("hold", [
    (kind, request("/api/leases/database/hold", method="PUT", body=body), INVALID)
    for kind, (body, _) in NO_HOLD.items() if body
])  # fmt: skip

QUERIES = table("query", [
    *((f"limit={text}", request(f"/api/leases?limit={text}"), INVALID) for text in (
        "0", "-1", "201", "ten", "1.5", "1e2", "0x10", "+5", "%205", "1_0", "9" * 400, "%D9%A1", "NaN", "true", "1,2",
        "1&limit=2", "%00", "[]", "limit=1",
    )),
    *((f"after={text}", request(f"/api/leases?after={text}"), INVALID) for text in (
        "x", "YQ==", "YQ%3D%3D", "/w", "gA", "%C3%A4", "%00", "..", "YQ.", "YQ+", "A" * 4001, "YQ&after=YQ",
    )),
    *((f"kind={text}", request(f"/api/leases?kind={text}"), INVALID) for text in (
        "Database", "task", "database,x", "*",
    )),
    *((f"state={text}", request(f"/api/leases?state={text}"), INVALID) for text in (
        "released", "Running", "running,pending", "'", "%",
    )),
    *((f"owner={text}", request(f"/api/leases?owner={text}"), answer) for text, answer in (
        ("bob", NOTHING), ("%62ob", NOTHING), ("a%20b", INVALID), ("%00", INVALID), ("a" * 129, INVALID),
        ("alice&owner=bob", NOTHING), ("%C3%A4", INVALID), ("a%0d%0ab", INVALID), ("alice%2Fbob", NOTHING),
    )),
    *((f"purge={text}", request(f"/api/leases/database?purge={text}", method="DELETE"), INVALID) for text in (
        "TRUE", "1", "yes", "true,true", "true&purge=true", "%00",
    )),
    ("4,000 parameters", request("/api/nothing?" + "&".join(f"a{n}=" for n in range(2000))), NOTHING),
    ("one parameter 3,000 times", request("/api/leases?limit=1" + "&limit=1" * 1500), INVALID),
    ("a name with brackets", request("/api/leases?limit[]=0&limit=0"), INVALID),
    ("semicolons", request("/api/leases?a=b;limit=0&limit=0"), INVALID),
    ("the lease in the query", request("/api/leases/nothing?id=database"), NOTHING),
    ("a header in the query", request("/api/leases/nothing?If-Match=%22x%22"), NOTHING),
    ("events of another", request("/api/leases/database/events?owner=bob"), NOTHING),
    ("a certificate of another", request("/api/certificates/ab?owner=bob", method="DELETE"), NOTHING),
    ("a serial that is none", request("/api/certificates/-1", method="DELETE"), NOTHING),
    ("a serial of 1,000 digits", request("/api/certificates/" + "f" * 1000, method="DELETE"), NOTHING),
    ("a serial with NUL", request("/api/certificates/%00", method="DELETE"), NOTHING),
])  # fmt: skip


def ended(*headers: str) -> bytes:
    return request("/api/leases/database?purge=true", *headers, method="DELETE")


MATCHES = table("If-Match", [
    *((f"{tag!a:.40}", ended(f"If-Match: {tag}"), answer) for tag, answer in (
        ("x", INVALID), ('"', INVALID), ('"1', INVALID), ('1"', INVALID), ("'1'", INVALID), ("*, *", INVALID),
        (",", INVALID), ('"a" "b"', INVALID), ('w/"1"', INVALID), ("1", INVALID), ('"1";', INVALID),
        ('W/"1"', STALE), ('""', STALE), ('"-1"', STALE), ('"1e3"', STALE), ('"' + "9" * 500 + '"', STALE),
        ('"\xff"', STALE), ('"999"', STALE), ('"1.0"', STALE), ('"0x1"', STALE), ('"*"', STALE),
        (", ".join(['"999"'] * 1000), STALE), ('"\x00"', NOT_HTTP), ('"1"\r\n ,"2"', NOT_HTTP),
    )),
    ("twice, and one is no tag", ended('If-Match: "1"', "If-Match: x"), INVALID),
])  # fmt: skip


def enrolment(token: object, request: object) -> bytes:
    return post("/api/enrolments", body=json.dumps({"token": token, "csr": request}).encode())


GOOD = csr()
TURNED = GOOD.splitlines()[0] + "\n" + "".join(reversed(GOOD.splitlines()[1:-1])) + "\n" + GOOD.splitlines()[-1]
TOKENS = table("token", [
    *((f"{token!a:.30}", enrolment(token, GOOD), NOBODY) for token in (
        "", "x", "a.b", ".", "..", "a" * 5000, "é", "../..", "YQ." + "A" * 43, "\x00", " ", "null", "' OR 1=1 --",
        "\u202e",
    )),
    *((f"{token!a}", enrolment(token, GOOD), INVALID) for token in (None, 1, True, [], {}, ["x"], 1e300)),
], opened=True)  # fmt: skip
CSRS = table("signing request", [
    *((name, enrolment("x", text), INVALID) for name, text in {
        "nothing": "", "null": None, "a number": 7, "a list": [GOOD], "text": "x", "a header alone": "-----BEGIN",
        "cut off": GOOD[:200], "two": GOOD + GOOD, "something before it": "x\n" + GOOD, 
        "something after it": GOOD + "x",
        "turned round": TURNED, "no base64": GOOD.replace("M", "*"), "of another kind": GOOD.replace("REQUEST", "X"),
        "20,000 blanks": GOOD + " " * 20_000, "NUL inside": GOOD.replace("\n", "\n\x00", 1), "DER": GOOD[28:-28],
        "a private key": GOOD.replace("CERTIFICATE REQUEST", "PRIVATE KEY"), "é": GOOD.replace("M", "é", 1),
    }.items()),
    ("without a certificate", request("/api/leases"), NOTHING),
    ("a certificate in a header", request("/api/certificates", "X-ARR-ClientCert: AAAA"), NOTHING),
    ("create_db at the open door", post("/api/create_db"), NOTHING),
    ("a beat at the open door", request("/api/heart_beat?user_id=alice"), NOTHING),
], opened=True)  # fmt: skip
RENEWALS = table("renewal", [
    (name, post("/api/certificates", body=body), INVALID) for name, body in {
        "nothing": b"{}", "a list": b"[]", "a name": b'{"name": "root"}', "no request": b'{"csr": "x"}',
        "a role": b'{"csr": "x", "role": "admin"}', "turned round": json.dumps({"csr": TURNED}).encode(),
    }.items()
])  # fmt: skip
BEATS = table("beat", [
    *((f"user_id={user:.30}", request(f"/api/heart_beat?user_id={user}"), HARMLESS) for user in (
        "bob", "", "%00", "%ff", "%0d%0aX:y", "a" * 5000, "alice&user_id=bob", "<script>", "%D9%A1", "..%2f..",
    )),
    ("none", request("/api/heart_beat"), HARMLESS),
    ("without a blank", request("/api/heart_beat?user_id=a b"), NOT_HTTP),
])  # fmt: skip
