"""What is published beside the variants of one version: provenance, model card, bill of materials."""

from typing import TYPE_CHECKING

from whisperopt.release.bom import bom
from whisperopt.release.model_card import model_card
from whisperopt.release.provenance import envelope, statement
from whisperopt.release.publication import Publication

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

BOM = "bom.cdx.json"
CARD = "README.md"


def provenance(variant: str) -> str:
    """Return the path of the provenance of the variant with this name."""
    return f"provenance/{variant}.intoto.json"


def documents(publication: Publication, signer: "CryptoSigner | None" = None) -> dict[str, bytes]:
    """Return every document by its path; with a `signer` each provenance lies in a DSSE envelope."""
    found = {v.name: statement(publication, v) for v in publication.entry.variants}
    return {
        CARD: model_card(publication).encode(),
        BOM: bom(publication),
        **{
            provenance(name): envelope(made, signer) if signer else made
            for name, made in found.items()
        },
    }
