"""What schemathesis is told of this API besides its description; it loads this file in a process of its own."""

import re

import schemathesis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import strategies as st
from schemathesis import Case, CheckContext, Response
from schemathesis.specs.openapi.checks import positive_data_acceptance

KEYS = [ec.derive_private_key(number, ec.SECP256R1()) for number in (1, 2, 3)]
# What no schema can say: of when, where or whom a request is that is written as it should be.
BY_ITS_MEANING = re.compile(
    "after: not (a token of ours|from this list)|csr: (cannot be read|is not signed|its key must)"
    "|until: (it is over already|at most .* ahead|write an instant)|owner: say whose it is"
)


def signing_requests() -> list[str]:
    """Signing requests of a few keys."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return [builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode() for key in KEYS]


schemathesis.openapi.format("pem", st.sampled_from(signing_requests()))


@schemathesis.check
def accepted_but_for_its_meaning(ctx: CheckContext, response: Response, case: Case) -> bool | None:
    """`positive_data_acceptance`, but for what is refused with a sentence that says why no schema helps."""
    if response.status_code == 400 and BY_ITS_MEANING.match(str(response.json().get("detail"))):
        return None
    return None if response.status_code == 412 else positive_data_acceptance(ctx, response, case)
