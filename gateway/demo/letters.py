"""What the sample customers write. All people, orders and numbers are invented; card numbers are the card networks'
published test numbers, IBANs the registry's published examples."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Way(StrEnum):
    """How a letter is protected by its sender, or what is wrong with it."""

    SEALED_SIGNED = "encrypted and signed"
    SEALED = "encrypted"
    SIGNED = "signed"
    CLEAR = "clear"
    TAMPERED = "encrypted, changed on the way"
    FORGED = "clear, with another's address in From"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """`sender` is a name in `gateway.demo.people`. `html` goes beside the text as an alternative; `attachment` is a
    file name with its text."""

    sender: str
    to: str
    way: Way
    subject: str
    text: str
    html: str = ""
    attachment: tuple[str, str] | None = None
    automatic: bool = False


LETTERS: tuple[Letter, ...] = (
    Letter(
        sender="alice",
        to="support@acme.example",
        way=Way.SEALED_SIGNED,
        subject="Charged twice for order 5521",
        text="""Hello,

my card 4111 1111 1111 1111 was charged twice for order 5521 on Tuesday.
Could you refund one of the two payments? The security code is 123, if you need it.

Thank you
Alice Moreno
""",
    ),
    Letter(
        sender="bruno",
        to="soporte@acme.example",
        way=Way.CLEAR,
        subject="Cambio de titular del contrato",
        text="""Buenos días:

Quisiera cambiar el titular de mi contrato. Mi DNI es 12345678-Z y el de mi mujer,
que será la nueva titular, 87654321X. La cuenta para los recibos es
ES91 2100 0418 4502 0005 1332.

Un saludo,
Bruno Castro
""",
    ),
    Letter(
        sender="chloe",
        to="billing@acme.example",
        way=Way.CLEAR,
        subject="Payment for invoice 2026-0113",
        text="""Hi there,

please take the payment from my Mastercard: 5555-5555-5555-4444, exp 09/28, CVC 737.

Best,
Chloe Whitfield
""",
    ),
    Letter(
        sender="diego",
        to="soporte@acme.example",
        way=Way.SEALED,
        subject="Mi tarjeta nueva",
        text="""Hola:

Me ha llegado la tarjeta nueva, termina en 4242. El número completo es 4242.4242.4242.4242.
¿Podéis actualizarla en mi ficha?

Gracias,
Diego Ferrer
""",
    ),
    Letter(
        sender="alice",
        to="support@acme.example",
        way=Way.SIGNED,
        subject="Where is my parcel?",
        text="""Hello,

the parcel with tracking number 1Z 999 AA1 01 2345 6784 should have been here on Friday.
My phone is +44 20 7946 0018 if the driver needs to call.

Alice
""",
    ),
    Letter(
        sender="emma",
        to="support@acme.example",
        way=Way.CLEAR,
        subject="Can't sign in",
        text="""Hi,

I can't sign in since the update. My customer number is 20431877. I tried three times and
now it says that the account is locked until tomorrow. Could you unlock it?

Emma
""",
    ),
    Letter(
        sender="mallory",
        to="billing@acme.example",
        way=Way.FORGED,
        subject="New bank account for my refunds",
        text="""Hello,

please send all future refunds to my new account, IBAN GB29 NWBK 6016 1331 9268 19.
It is urgent.

Alice Moreno
""",
    ),
    Letter(
        sender="francisco",
        to="soporte@acme.example",
        way=Way.CLEAR,
        subject="Devolución del pedido 77120",
        text="""Hola, buenas tardes:

El jersey del pedido 77120 me queda pequeño. Lo he devuelto en la oficina de Correos el día
12/11/2026 con el localizador PQ7X2B0710098760108002Z. ¿Cuándo recibiré los 39,90 €?

Francisco Javier Ortega
""",
    ),
    Letter(
        sender="alice",
        to="support@acme.example",
        way=Way.TAMPERED,
        subject="About my refund",
        text="""This letter is changed on its way, so that nobody can read it.
""",
    ),
    Letter(
        sender="grace",
        to="support@acme.example",
        way=Way.CLEAR,
        subject="Offer of the week",
        text="""Autumn offers: 20 % off on all coats. Read this letter in your browser.
""",
        html="""<html><head><style>body{font-family:sans-serif}</style></head><body>
<h1>Autumn offers</h1><p>20&nbsp;% off on <b>all coats</b> this week.</p>
<img src="https://track.news.example/open.gif?id=8812" width="1" height="1">
<p><a href="https://shop.news.example/coats">See the coats</a></p>
<script>document.location='https://track.news.example/'</script></body></html>""",
        automatic=True,
    ),
    Letter(
        sender="henrik",
        to="billing@acme.example",
        way=Way.CLEAR,
        subject="VAT number on my invoice",
        text="""Dear billing team,

the statement is attached. The lines with the card are the wrong ones.

Henrik Olsen
""",
        attachment=(
            "statement.csv",
            "date,text,card,amount\n2026-11-03,ACME,2223003122003222,19.90\n2026-11-04,ACME,2223003122003222,19.90\n",
        ),
    ),
    Letter(
        sender="ines",
        to="soporte@acme.example",
        way=Way.CLEAR,
        subject="Mi NIE ha cambiado",
        text="""Hola:

Mi NIE es X1234567L; en mi ficha figura todavía el antiguo. ¿Lo podéis corregir?

Inés Duarte
""",
    ),
    Letter(
        sender="john",
        to="support@acme.example",
        way=Way.CLEAR,
        subject="Refund to my Amex",
        text="""Hello,

you refunded to the wrong card. The right one is my Amex 3782 822463 10005, not the
old Visa. My SSN is 219-09-9999, in case you must check who I am.

John Barrow
""",
    ),
    Letter(
        sender="kenji",
        to="support@acme.example",
        way=Way.CLEAR,
        subject="カード / my card",
        text="""Hello, this is Kenji.

My card number in full-width digits: ４１１１　１１１１　１１１１　１１１１
Please tell me if the order 9120 went through.
""",
    ),
    Letter(
        sender="lucia",
        to="soporte@acme.example",
        way=Way.SEALED,
        subject="Baja del servicio",
        text="""Buenos días:

Quiero darme de baja a final de mes. No olvidéis devolver la fianza a la misma cuenta.

Lucía Prieto
""",
    ),
    Letter(
        sender="mary",
        to="support@acme.example",
        way=Way.CLEAR,
        subject="Thank you!",
        text="""Just to say thank you to Ann, who solved my problem with the boiler in ten minutes.

Mary
""",
    ),
    Letter(
        sender="noah",
        to="billing@acme.example",
        way=Way.CLEAR,
        subject="Card declined",
        text="""Hi,

my card was declined twice. I typed it right:

4000
0566
5566
5556

What can I do?
Noah
""",
    ),
    Letter(
        sender="olga",
        to="support@acme.example",
        way=Way.CLEAR,
        subject="Out of office: holidays until 2 December",
        text="""I am away until 2 December and will answer then.
""",
        automatic=True,
    ),
    Letter(
        sender="pablo",
        to="soporte@acme.example",
        way=Way.CLEAR,
        subject="Factura duplicada",
        text="""Hola:

He recibido dos veces la factura F-2026-3391 por 84,15 €. Solo hice un pedido, el 40817.
¿Podéis anular una?

Pablo Nieto
""",
    ),
    Letter(
        sender="alice",
        to="support@acme.example",
        way=Way.SEALED_SIGNED,
        subject="My new address",
        text="""Hello,

I have moved to 14 Orchard Lane, Leeds. Please send the replacement there.

Alice Moreno
""",
    ),
)
"""In the order in which they are sent."""
