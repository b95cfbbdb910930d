"""Client ids that strangers may choose."""

#: Every character that an exposition, a parser, a Collector or JSON could trip over.
ODD_IDS = [
    'a "quoted" one',
    "back\\slash",
    "trailing\\",
    "\\n is not a newline",
    "a\nnewline",
    "a\rreturn",
    "\ttab",
    "\x01\x1b[31mcontrol\x7f\x85",
    " spaces ",
    '{a="b"} 1 # EOF',
    "# EOF",
    "größe/温度/🌡️\u2028\ufeff",
    "e\u0301 is not \u00e9",
    "x" * 512,
    "温" * 170 + "ab",
]
