"""The words that mail programs put around quotations, in the languages that we know. Data only; no rule.

A new language is a new entry here, never a new branch in `quoted_text.py`.
"""

WROTE_OPENERS = (
    "on", "am", "le", "el", "em", "a", "il", "il giorno", "op", "w dniu", "dnia", "den", "på", "dne", "dňa",
    "vào", "în", "in data", "sent from", "em qua", "el día", "el dia", "kl", "lørdag", "in a message dated",
)  # fmt: skip
"""How the line above a quotation begins: 'On 3 May ...'. Digits and weekdays may begin it as well."""

WROTE_VERBS = (
    "wrote", "writes", "sent", "schrieb", "schrieben", "geschrieben", "a écrit", "a ecrit", "écrit", "escribió",
    "escribio", "escreveu", "ha scritto", "scrive", "schreef", "geschreven", "napisał", "napisała", "napisał(a)",
    "napisal(a)", "napisal", "napsal(a)", "napsal", "napísal(a)", "pisze", "skrev", "skrev följande", "kirjoitti",
    "ezt írta", "a scris", "şunları yazdı", "yazdı", "написал", "написал(а)", "написала", "пишет", "пише",
    "đã viết", "のメール", "书き", "写道", "寫道", "작성", "έγραψε", "egrafse", "va escriure", "je napisao",
)  # fmt: skip

WEEKDAYS = (
    "mon", "tue", "wed", "thu", "fri", "sat", "sun", "mo", "di", "mi", "do", "fr", "sa", "so", "lun", "mar", "mer",
    "jeu", "ven", "sam", "dim", "mié", "jue", "vie", "sáb", "dom", "seg", "ter", "qua", "qui", "sex", "gio", "sab",
    "ma", "wo", "vr", "za", "zo", "pon", "wt", "śr", "czw", "pt", "sob", "niedz", "mån", "tis", "ons", "tors", "fre",
    "lör", "sön", "po", "út", "st", "čt", "pá", "ne", "man", "tir", "tor", "lør", "søn",
    "пн", "вт", "ср", "чт", "пт", "сб", "вс",
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip

HEADER_ROLES = {
    "from": (
        "from", "von", "de", "da", "van", "od", "från", "fra", "lähettäjä", "от", "від", "feladó", "kimden", "de la",
        "差出人", "发件人", "寄件者", "보낸 사람", "från",
    ),
    "date": (
        "sent", "date", "gesendet", "datum", "envoyé", "envoye", "date d'envoi", "enviado", "enviado el", "enviada",
        "enviada em", "fecha", "data", "inviato", "verzonden", "wysłano", "skickat", "sendt", "dato", "lähetetty",
        "päivämäärä", "отправлено", "дата", "odesláno", "gesendet am", "送信日時", "发送时间", "보낸 날짜",
    ),
    "to": (
        "to", "an", "à", "para", "a", "aan", "do", "till", "til", "vastaanottaja", "кому", "komu", "címzett", "pro",
        "宛先", "收件人", "받는 사람", "reply-to", "antwort an", "responder a",
    ),
    "subject": (
        "subject", "betreff", "objet", "asunto", "assunto", "oggetto", "onderwerp", "temat", "ämne", "emne", "aihe",
        "тема", "předmět", "tárgy", "konu", "件名", "主题", "主旨", "제목",
    ),
    "cc": ("cc", "kopie", "kopia", "kopi", "copie", "cc:", "dw", "копия"),
}  # fmt: skip

ORIGINAL_MESSAGE = (
    "original message", "reply message", "ursprüngliche nachricht", "original-nachricht", "originalnachricht",
    "antwort nachricht", "message d'origine", "message original", "message initial", "mensaje original",
    "mensagem original", "messaggio originale", "oorspronkelijk bericht", "wiadomość oryginalna",
    "oryginalna wiadomość", "wiadomość pierwotna", "ursprungligt meddelande", "originalmeddelande",
    "oprindelig meddelelse", "opprinnelig melding", "alkuperäinen viesti", "původní zpráva",
    "исходное сообщение", "original appointment", "元のメッセージ", "原始邮件",
)  # fmt: skip

FORWARDED_MESSAGE = (
    "forwarded message", "begin forwarded message", "weitergeleitete nachricht", "anfang der weitergeleiteten",
    "message transféré", "message transmis", "début du message", "mensaje reenviado", "inicio del mensaje reenviado",
    "mensagem encaminhada", "mensagem reencaminhada", "messaggio inoltrato", "inizio messaggio inoltrato",
    "doorgestuurd bericht", "begin doorgestuurd bericht", "wiadomość przekazana", "przekazana wiadomość",
    "przekazana dalej", "vidarebefordrat meddelande", "vidarebefordrat brev", "videresendt meddelelse",
    "videresendt besked", "videresendt melding", "пересылаемое сообщение", "přeposlaná zpráva",
)  # fmt: skip

SENT_FROM = (
    "sent from", "sent via", "sent with", "sent wirelessly", "get outlook for", "gesendet von", "von meinem",
    "gesendet mit", "envoyé de", "envoyé depuis", "envoyé à partir", "envoyé sans fil", "télécharger outlook",
    "enviado desde", "enviado do", "enviado de", "enviado a partir", "obtener outlook", "obter o outlook",
    "inviato da", "scarica outlook", "verstuurd vanaf", "verzonden vanaf", "outlook voor", "wysłane z",
    "wysłano z", "skickat från", "hämta outlook", "sendt fra", "hent outlook", "lähetetty",
)  # fmt: skip

DEVICE_WORDS = (
    "iphone", "ipad", "android", "blackberry", "samsung", "galaxy", "htc", "huawei", "xiaomi", "nokia", "outlook",
    "yahoo", "mail", "mobile", "mobil", "móvil", "movil", "mã³vil", "phone", "smartphone", "handy", "telefon",
    "téléphone", "device", "tablet", "mailbox", "sparrow", "gmail", "ios", "windows", "proton", "spark", "mobiltelefon",
    "pixel",
)  # fmt: skip

CLOSINGS = (
    "best", "best regards", "kind regards", "warm regards", "regards", "warmly", "thanks", "thank you", "many thanks",
    "thanks again", "cheers", "sincerely", "all the best", "yours", "yours truly", "best wishes", "love", "xo", "xoxo",
    "talk soon", "take care", "mit freundlichen grüßen", "mit freundlichen grüssen", "viele grüße", "liebe grüße",
    "beste grüße", "lg", "mfg", "vg", "danke", "cordialement", "bien cordialement", "bien à vous", "merci",
    "bonne journée", "saludos", "un saludo", "saludos cordiales", "gracias", "abrazo", "un abrazo", "atentamente",
    "atenciosamente", "abraços", "abraço", "obrigada", "obrigado", "cordiali saluti", "distinti saluti", "saluti",
    "grazie", "met vriendelijke groet", "groeten", "groetjes", "bedankt", "pozdrawiam", "z poważaniem", "dziękuję",
    "vänliga hälsningar", "med vänliga hälsningar", "mvh", "hälsningar", "tack", "med venlig hilsen", "venlig hilsen",
    "hilsen", "tak", "kh",
)  # fmt: skip
