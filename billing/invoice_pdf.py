"""An invoice as PDF: one function from the row to bytes, the same bytes each time.

Helvetica, which every reader has: it writes the languages of western Europe. A name in other letters is set in Vera,
which is embedded.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from html import escape
from io import BytesIO

from babel import Locale
from django.conf import settings
from django.utils import formats, translation
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from billing.models import Invoice
from billing.payments.services import NAMES
from lib.money import PLACES

# The light values of static/css/tokens.css as RGB.
INK, INK_2, LINE, ACCENT = (HexColor(code) for code in ("#191f2b", "#515865", "#dee2e6", "#3655cd"))
TEXT = ParagraphStyle("text", fontName="Helvetica", fontSize=10, leading=14, textColor=INK)
SOFT = ParagraphStyle("soft", TEXT, textColor=INK_2, fontSize=9, leading=12)
BRAND = ParagraphStyle("brand", TEXT, fontName="Helvetica-Bold", fontSize=13, leading=18, textColor=ACCENT)
TITLE = ParagraphStyle("title", TEXT, fontName="Helvetica-Bold", fontSize=20, leading=26)
AMOUNT = ParagraphStyle("amount", TEXT, alignment=TA_RIGHT)
SOFT_AMOUNT = ParagraphStyle("soft amount", SOFT, alignment=TA_RIGHT)
TOTAL = ParagraphStyle("total", TEXT, fontName="Helvetica-Bold", fontSize=11, leading=16)
TOTAL_AMOUNT = ParagraphStyle("total amount", TOTAL, alignment=TA_RIGHT)
MARGIN = 22 * mm
FRAME_PADDING = 6  # reportlab's own
WIDTH = A4[0] - 2 * MARGIN


def render_invoice(invoice: Invoice) -> bytes:
    """In the language of the invoice."""
    buffer = BytesIO()
    with translation.override(invoice.locale):
        document = SimpleDocTemplate(
            buffer,
            pagesize=A4,
            leftMargin=MARGIN - FRAME_PADDING,
            rightMargin=MARGIN - FRAME_PADDING,
            topMargin=MARGIN,
            bottomMargin=MARGIN,
            title=f"{_title(invoice)} {invoice.number}",
            author=invoice.seller["name"],
            lang=invoice.locale,
            invariant=1,
        )
        document.build([*_head(invoice), _parties(invoice), Spacer(0, 9 * mm), _lines(invoice), *_foot(invoice)])
    return buffer.getvalue()


def _title(invoice: Invoice) -> str:
    return _("Invoice") if invoice.kind == Invoice.Kind.INVOICE else _("Credit note")


def _head(invoice: Invoice) -> list[Flowable]:
    facts = [(_("Date"), formats.date_format(invoice.issued_at, "DATE_FORMAT"))]
    if invoice.corrects is not None:
        facts.append((_("Corrects"), invoice.corrects.number))
    facts += [
        (_("Paid with"), NAMES[invoice.payment.service]),
        (_("Reference"), _reference(invoice)),
    ]
    cells = [[_text(name, SOFT), _text(value, TEXT)] for name, value in facts]
    table = Table(cells, colWidths=[30 * mm, WIDTH - 30 * mm], style=[("LEFTPADDING", (0, 0), (-1, -1), 0), *TIGHT])
    return [
        _text("GPUBroker", BRAND),
        _text(f"{_title(invoice)} {invoice.number}", TITLE),
        Spacer(0, 4 * mm),
        table,
        Spacer(0, 7 * mm),
    ]


def _reference(invoice: Invoice) -> str:
    """What the payment service calls it."""
    back = invoice.refund or invoice.chargeback
    return back.service_ref if back else invoice.payment.capture_ref


TIGHT = [
    ("TOPPADDING", (0, 0), (-1, -1), 1),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
]


def _parties(invoice: Invoice) -> Table:
    columns = [_party(_("From"), invoice.seller, invoice.locale), _party(_("For"), invoice.buyer, invoice.locale)]
    style = TableStyle([("LEFTPADDING", (0, 0), (-1, -1), 0), ("LINEABOVE", (0, 0), (-1, 0), 1, LINE), *TIGHT])
    style.add("TOPPADDING", (0, 0), (-1, -1), 8)
    return Table([columns], colWidths=[WIDTH / 2, WIDTH / 2], style=style)


def _party(title: str, party: dict[str, str], locale: str) -> list[Flowable]:
    address = [line.strip() for line in party["address"].splitlines() if line.strip()]
    country = Locale(locale).territories.get(party["country"], party["country"])
    tax_id = _("Tax id: %s") % party["tax_id"] if party["tax_id"] else ""
    rest = [_text(line, TEXT) for line in (*address, country, tax_id) if line]
    return [_text(title, SOFT), _text(party["name"], TOTAL), *rest]


def _lines(invoice: Invoice) -> Table:
    names = (_("What"), _("Net"), _tax_name(invoice), pgettext("of an invoice", "Total"))
    rows = [[_text(names[0], SOFT), *(_text(name, SOFT_AMOUNT) for name in names[1:])]]
    for line in invoice.lines:
        amounts = [_sum(Decimal(line[name]), invoice, AMOUNT) for name in ("net", "tax", "gross")]
        rows.append([_text(line["text"], TEXT), *amounts])
    rows += [
        ["", "", _text(name, style), _sum(amount, invoice, amount_style)]
        for name, amount, style, amount_style in (
            (_("Net"), invoice.net, SOFT, AMOUNT),
            (_tax_name(invoice), invoice.tax, SOFT, AMOUNT),
            (pgettext("of an invoice", "Total"), invoice.gross, TOTAL, TOTAL_AMOUNT),
        )
    ]
    style = TableStyle(
        [
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ("LINEBELOW", (0, 0), (-1, 0), 1, LINE),
            ("LINEBELOW", (0, 1), (-1, len(invoice.lines)), 1, LINE),
            ("LINEABOVE", (2, -1), (-1, -1), 1, INK),
            ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ]
    )
    return Table(rows, colWidths=[WIDTH - 96 * mm, 30 * mm, 34 * mm, 32 * mm], style=style, repeatRows=1)


def _foot(invoice: Invoice) -> list[Flowable]:
    notes = []
    if invoice.tax_treatment == Invoice.Treatment.REVERSE_CHARGE:
        notes.append(_("Reverse charge: the buyer accounts for the tax (Article 196 of Directive 2006/112/EC)."))
    elif invoice.tax_treatment == Invoice.Treatment.NOT_TAXED:
        notes.append(_("We charge no tax in the buyer's country."))
    else:
        notes.append(_("Prices include tax."))
    notes.append(_("Amounts are in %s.") % invoice.currency)
    if settings.SANDBOX:
        notes.append(_("Sandbox: no real money was paid."))
    return [Spacer(0, 9 * mm), *(_text(note, SOFT) for note in notes)]


def _tax_name(invoice: Invoice) -> str:
    percent = formats.number_format(invoice.tax_percent.normalize(), use_l10n=True)
    return f"{invoice.tax_name or _('Tax')} {percent} %"


def _sum(amount: Decimal, invoice: Invoice, style: ParagraphStyle) -> Paragraph:
    places = PLACES[invoice.currency]
    shown = formats.number_format(f"{amount:.{places}f}", decimal_pos=places, force_grouping=True)
    return _text(f"${shown}" if invoice.currency == "USD" else f"{shown} {invoice.currency}", style)


def _text(text: str, style: ParagraphStyle) -> Paragraph:
    """Text of customers is text, never markup."""
    try:
        text.encode("cp1252")
        font = style.fontName
    except UnicodeEncodeError:
        font = _other_letters()
    return Paragraph(escape(text), ParagraphStyle(style.name, style, fontName=font))


@cache
def _other_letters() -> str:
    pdfmetrics.registerFont(TTFont("Vera", "Vera.ttf"))
    return "Vera"
