r"""Tables of LaTeX: which spellings leave the same ink, which commands leave none, what each one takes.

No code to speak of, so that a new spelling is one more word in a table. "The same ink" means that a reader of
the picture can't tell which one was written, sizes of delimiters and widths of thin spaces aside. ``\bar`` and
``\overline``, or ``\epsilon`` and ``\varepsilon``, look different and stay different.
"""

from __future__ import annotations

import string


def _commands(names: str) -> frozenset[str]:
    return frozenset("\\" + name for name in names.split())


def _table(rows: str) -> dict[str, str]:
    r"""``le=leq lt=<``: commands, written without their backslash; a value that is no word stays as it is."""
    pairs = (row.split("=", 1) for row in rows.split())
    return {"\\" + old: "\\" + new if new.isalpha() and len(new) > 1 else new for old, new in pairs}


def _characters(characters: str, tokens: str) -> dict[str, str]:
    return dict(zip(characters, tokens.split(), strict=True))


def _scripts(mark: str, characters: str, plain: str) -> dict[str, list[str]]:
    return {character: [mark, "{", own, "}"] for character, own in zip(characters, plain, strict=True)}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# ---------------------------------------------------------------------------------------- one token for another
SYNONYMS: dict[str, str] = {
    # relations, operators, arrows
    **_table(
        r"""le=leq ge=geq ne=neq lt=< gt=> to=rightarrow gets=leftarrow owns=ni land=wedge lor=vee lnot=neg
        iff=Longleftrightarrow implies=Longrightarrow impliedby=Longleftarrow colon=: ast=* cdotp=cdot ldotp=.
        setminus=backslash bot=perp Box=square leadsto=rightsquigarrow restriction=upharpoonright Doteq=doteqdot
        doublecap=Cap doublecup=Cup thicksim=sim thickapprox=approx varpropto=propto intop=int ointop=oint
        smallint=int dag=dagger ddag=ddagger centerdot=cdot smallsmile=smile smallfrown=frown
        bigtriangleup=triangle lhd=vartriangleleft rhd=vartriangleright unlhd=trianglelefteq unrhd=trianglerighteq
        dasharrow=dashrightarrow lozenge=Diamond And=\& textsection=\S textdollar=\$"""
    ),
    # delimiters, dots
    **_table(
        r"""lbrace=\{ rbrace=\} lbrack=[ rbrack=] vert=| lvert=| rvert=| mid=| Vert=\| lVert=\| rVert=\|
        parallel=\| dotsc=ldots dotso=ldots mathellipsis=ldots dotsb=cdots dotsm=cdots dotsi=cdots"""
    ),
    # \dfrac and \tfrac choose a size, as a picture's resolution does: the fraction read from it is the same
    **_table(
        r"""dfrac=frac tfrac=frac dbinom=binom tbinom=binom overset=stackrel bm=boldsymbol
        pmb=boldsymbol Bbb=mathbb mathbbm=mathbb mathds=mathbb frak=mathfrak mathup=mathrm
        sb=_ sp=^ bgroup={ egroup=} begingroup={ endgroup=} cr=\\ shortstack=substack crcr=\\
        newline=\\ tabularnewline=\\ hdashline=hline hrule=hline toprule=hline midrule=hline bottomrule=hline
        overparen=overarc wideparen=overarc"""
    ),
    # capital Greek letters that are Latin ones
    **_table("Alpha=A Beta=B Epsilon=E Zeta=Z Eta=H Iota=I Kappa=K Mu=M Nu=N Omicron=O Rho=P Tau=T Chi=X"),
    # characters that a keyboard has or a word processor makes
    "%": r"\%",
    "#": r"\#",
    **_characters("′’‘−–∗∣‖∥⟨⟩〈〉", r"' ' ' - - * | \| \| \langle \rangle \langle \rangle"),
    **_characters("⌊⌋⌈⌉∕⁄∶", r"\lfloor \rfloor \lceil \rceil / / :"),
    **_characters("·⋅×÷±∓√≤≥≠⩽⩾", r"\cdot \cdot \times \div \pm \mp \surd \leq \geq \neq \leqslant \geqslant"),
    **_characters("≈≡∼≅≃∝≪≫≺≻⊥⟂∤", r"\approx \equiv \sim \cong \simeq \propto \ll \gg \prec \succ \perp \perp \nmid"),
    **_characters("⊕⊖⊗⊙∘◦•∙⋆∖", r"\oplus \ominus \otimes \odot \circ \circ \bullet \bullet \star \backslash"),
    **_characters("¬∧∨⊢⊨⊤∴∵†‡", r"\neg \wedge \vee \vdash \models \top \therefore \because \dagger \ddagger"),
    **_characters("→←⇒⇔↦↔", r"\rightarrow \leftarrow \Rightarrow \Leftrightarrow \mapsto \leftrightarrow"),
    **_characters("⟶⟵⟹⟺↑↓", r"\longrightarrow \longleftarrow \Longrightarrow \Longleftrightarrow \uparrow \downarrow"),
    **_characters("⇐↪⇌↗↘", r"\Leftarrow \hookrightarrow \rightleftharpoons \nearrow \searrow"),
    **_characters("∈∉∋⊂⊆⊃⊇∪∩", r"\in \notin \ni \subset \subseteq \supset \supseteq \cup \cap"),
    **_characters(
        "∅∀∃∄∞∂∇…⋯⋮⋱", r"\emptyset \forall \exists \nexists \infty \partial \nabla \ldots \cdots \vdots \ddots"
    ),
    **_characters("∑∏∫∬∭∮", r"\sum \prod \int \iint \iiint \oint"),
    **_characters("⊈⊉≮≯≰≱≁≇∦", r"\nsubseteq \nsupseteq \nless \ngtr \nleq \ngeq \nsim \ncong \nparallel"),
    **_characters("∠△□ℏℓℵℜℑ℘§", r"\angle \triangle \square \hbar \ell \aleph \Re \Im \wp \S"),
    **_characters("αβγδεζηθικλμ", r"\alpha \beta \gamma \delta \varepsilon \zeta \eta \theta \iota \kappa \lambda \mu"),
    **_characters("νξπρςστυφχψω", r"\nu \xi \pi \rho \varsigma \sigma \tau \upsilon \varphi \chi \psi \omega"),
    **_characters("ΓΔΘΛΞΠΣΦΨΩ", r"\Gamma \Delta \Theta \Lambda \Xi \Pi \Sigma \Phi \Psi \Omega"),
    **_characters("ϵϕϑϱϖµ∆Ω", r"\epsilon \phi \vartheta \varrho \varpi \mu \Delta \Omega"),
    # those of a Chinese or Japanese keyboard
    **_characters("（）［］｛｝＋－＝＜＞／｜！？，．：；％", r"( ) [ ] \{ \} + - = < > / | ! ? , . : ; \%"),
    **_characters("０１２３４５６７８９", "0 1 2 3 4 5 6 7 8 9"),
}

# -------------------------------------------------------------------------------------- one token for several
_DEGREE = ["^", "{", r"\circ", "}"]
EXPANSIONS: dict[str, list[str]] = {
    r"\coloneqq": [":", "="],
    "≔": [":", "="],
    r"\coloneq": [":", "-"],
    r"\eqqcolon": ["=", ":"],
    "°": _DEGREE,
    r"\degree": _DEGREE,
    r"\textdegree": _DEGREE,
    "℃": [*_DEGREE, r"\mathrm", "{", "C", "}"],
    **_scripts("^", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "0123456789+-=()ni"),
    **_scripts("_", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₒₓₕₖₗₘₙₚₛₜᵢⱼ", "0123456789+-=()aeoxhklmnpstij"),
    "″": ["'", "'"],
    "‴": ["'", "'", "'"],
    **{each: [r"\mathbb", "{", own, "}"] for each, own in zip("ℂℕℙℚℝℤ", "CNPQRZ", strict=True)},
    **{each: [r"\frac", "{", own[0], "}", "{", own[1], "}"] for each, own in {"½": "12", "¼": "14", "¾": "34"}.items()},
    r"\bmod": [r"\mathrm", "{", "m", "o", "d", "}"],
    r"\mod": ["\\ ", r"\mathrm", "{", "m", "o", "d", "}"],
    r"\varlimsup": [r"\overline", "{", r"\lim", "}"],
    r"\varliminf": [r"\underline", "{", r"\lim", "}"],
    r"\varinjlim": [r"\underrightarrow", "{", r"\lim", "}"],
    r"\varprojlim": [r"\underleftarrow", "{", r"\lim", "}"],
    r"\injlim": [r"\mathrm", "{", *"injlim", "}"],
    r"\projlim": [r"\mathrm", "{", *"projlim", "}"],
    r"\idotsint": [r"\int", r"\cdots", r"\int"],
    r"\notni": [r"\not", r"\ni"],
    **{each: [r"\not", own] for each, own in zip("≢⊄⊅∌", _words(r"\equiv \subset \supset \ni"), strict=True)},
}
NEGATIONS = {
    "=": r"\neq",
    "|": r"\nmid",
    "<": r"\nless",
    ">": r"\ngtr",
    **_table(
        r"""in=notin exists=nexists subseteq=nsubseteq supseteq=nsupseteq leq=nleq geq=ngeq |=nparallel sim=nsim
        leqslant=nleqslant geqslant=ngeqslant cong=ncong prec=nprec succ=nsucc preceq=npreceq succeq=nsucceq
        vdash=nvdash vDash=nvDash
        rightarrow=nrightarrow leftarrow=nleftarrow leftrightarrow=nleftrightarrow
        Rightarrow=nRightarrow Leftarrow=nLeftarrow Leftrightarrow=nLeftrightarrow"""
    ),
}
"""What ``\\not`` and its neighbour are together, where a command of its own draws the same."""

# ------------------------------------------------------------------------------------------- without any ink
THIN = _commands(", ! ; : > / thinspace medspace thickspace negthinspace negmedspace negthickspace") | {"~"}
WIDE = _commands("quad qquad enspace enskip space hfill hfil nobreakspace") | {"\\ "}
NO_INK = _commands(
    r"""displaystyle textstyle scriptstyle scriptscriptstyle limits nolimits nonumber notag
    displaylimits protect relax allowbreak nobreak break strut mathstrut noindent null left right middle begin end roman
    IEEEnonumber IEEEyesnumber tiny scriptsize footnotesize small normalsize large Large LARGE huge Huge ( ) [ ] - @ *
    selectfont normalfont unboldmath leavevmode unskip xspace hss hfilneg par centering smallskip medskip bigskip
    arraystretch baselinestretch"""
)


def _by_command(names_of: dict[str, str]) -> dict[str, str]:
    return {command: hidden for hidden, names in names_of.items() for command in _commands(names)}


VANISHING = _by_command(
    {
        "o": "linebreak nolinebreak pagebreak nopagebreak displaybreak allowdisplaybreaks",
        "sm": "tag vspace",
        "om": "label color nocite",
        "m": "vphantom index cline leftroot uproot special cellcolor rowcolor require",
        "mm": "setlength addtolength setcounter addtocounter fontsize",
        "mmm": "definecolor",
        "l": """vskip vglue openup penalty skew arraycolsep tabcolsep tabskip jot baselineskip lineskip lineskiplimit
        parindent parskip mathsurround nulldelimiterspace scriptspace delimitershortfall delimiterfactor fboxsep
        fboxrule arrayrulewidth doublerulesep thinmuskip medmuskip thickmuskip abovedisplayskip belowdisplayskip""",
    }
)
r"""Commands that vanish, and what vanishes with them: m an argument, o any in brackets, s a star, l a length.

So does a number at the margin, `\tag{3}` or `\eqno (3)`: it is ink, but not the formula's, and whoever cuts formulas
out of a page leaves it there.
"""
UNWRAPPED = _by_command(
    {
        "": """mathop mathbin mathrel mathord mathopen mathclose mathpunct mathinner ensuremath mathnormal llap rlap
        clap mathllap mathrlap mathclap lefteqn shoveleft shoveright noalign""",
        "w": "vbox vtop vcenter",
        "o": "smash hyperref",
        "m": "href hypertarget hyperlink scalebox",
        "om": "textcolor colorbox",
        "mm": "multicolumn resizebox",
        "l": "raise lower",
    }
)
"""Commands of which only the last argument shows, and what vanishes before it; w is a width, as in `to 3cm`."""
BOXES = _by_command(
    {"": "fbox", "w": "hbox", "o": "makebox framebox", "om": "parbox", "mo": "raisebox", "omm": "fcolorbox"}
) | {r"\multirow": "omomo"}
"""The same where the last argument is text."""
FRAMES = _commands("fbox framebox fcolorbox")
"""Those with a line around."""
LENGTHS = _commands("hspace hskip hglue kern mkern mskip mspace")
"""Commands with a length: a gap from 0.5em on, nothing below."""
DEFINITIONS = _commands("def gdef edef xdef let newcommand renewcommand providecommand DeclareMathOperator")
"""Commands that give another a meaning; a label that has one says less than its picture shows."""
STRETCHES = _commands("arraystretch baselinestretch")
"""What may be defined nevertheless: it only moves rows apart."""
REFERENCES = _commands(
    "ref eqref pageref autoref cref Cref cite citep citet footnote footnotemark includegraphics symbol char"
)
"""Commands that draw what their argument doesn't say."""

# ------------------------------------------------------------------------------------------------- structure
ALPHABETS = _commands("mathbb mathbf mathcal mathfrak mathit mathrm mathscr mathsf mathtt boldsymbol")
SLANTED = frozenset(string.ascii_letters)
CAPITAL_GREEK = _commands("Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega")
UPRIGHT = frozenset(string.digits) | CAPITAL_GREEK
"""What stands upright in a formula, so that it is the same in ``\\boldsymbol`` and in ``\\mathbf``."""
CHANGED_IN = {
    r"\mathrm": SLANTED,
    **dict.fromkeys(_commands("mathbb mathbf mathcal mathfrak mathit mathscr mathsf mathtt"), SLANTED | UPRIGHT),
}
"""What looks otherwise in an alphabet than outside of it; all other symbols are the same there."""
SWITCHES = _table(
    """rm=mathrm bf=mathbf it=mathit cal=mathcal sf=mathsf tt=mathtt sl=mathit mit=mathit
    scr=mathscr boldmath=boldsymbol bfseries=mathbf itshape=mathit slshape=mathit em=mathit rmfamily=mathrm
    upshape=mathrm sffamily=mathsf ttfamily=mathtt"""
)
"""Old commands that change the font up to the end of their group."""
TEXT_FONTS = {
    **dict.fromkeys(_words("text textrm textnormal textup textmd mbox hbox"), (r"\text", r"\mathrm")),
    **dict.fromkeys(("textit", "textsl", "emph"), (r"\textit", r"\mathit")),
    "textbf": (r"\textbf", r"\mathbf"),
    "texttt": (r"\texttt", r"\mathtt"),
    "textsf": (r"\textsf", r"\mathsf"),
    "textsc": (r"\textsc", r"\textsc"),
}
"""Text commands: what they are called, and the alphabet for a single word, which looks the same."""
VERBATIM = _commands("ce cee")
"""Chemistry (mhchem) has a grammar of its own, in which blanks count: what it holds stays as it is."""
TEXT_SCRIPTS = _commands("textsuperscript textsubscript")
INTERTEXTS = _commands("intertext shortintertext")
TEXT_COMMANDS = {
    **dict.fromkeys((*TEXT_FONTS, *(command[1:] for command in sorted(TEXT_SCRIPTS | VERBATIM | INTERTEXTS))), ""),
    **{command[1:]: hidden for command, hidden in BOXES.items()},
}
"""Commands in whose last argument blanks count, and what vanishes before it."""
ARGUMENTS: dict[str, int] = {
    **dict.fromkeys(ALPHABETS, 1),
    **dict.fromkeys(_commands("acute bar breve check dot ddot dddot ddddot grave hat mathring tilde vec"), 1),
    **dict.fromkeys(_commands("overline underline widehat widetilde overarc underparen boxed cancel bcancel"), 1),
    **dict.fromkeys(_commands("overbrace underbrace overrightarrow overleftarrow overleftrightarrow"), 1),
    **dict.fromkeys(_commands("underrightarrow underleftarrow underleftrightarrow xcancel pmod pod sqrt"), 1),
    **dict.fromkeys(_commands("xrightarrow xleftarrow xmapsto xhookrightarrow xrightleftharpoons"), 1),
    **dict.fromkeys(_commands("substack not"), 1),
    **dict.fromkeys(_commands("frac binom stackrel underset"), 2),
}
"""Commands with arguments that show, and how many."""
OPTIONAL = _commands("sqrt xrightarrow xleftarrow xmapsto xhookrightarrow xrightleftharpoons")
"""Commands that may have one more argument in brackets."""
INFIX = {r"\over": ("", ""), r"\choose": ("", ""), r"\atop": ("", ""), r"\brack": "[]", r"\brace": (r"\{", r"\}")}
TALL = _commands("frac binom substack stackrel underset overbrace underbrace")
"""Commands higher than a line: only around these do stretching delimiters grow by more than a little."""
BIG_OPERATORS = _commands(
    """sum prod coprod int iint iiint iiiint oint bigcup bigcap bigoplus bigotimes bigodot bigvee bigwedge bigsqcup
    biguplus"""
)
"""Symbols that are higher than a line as soon as they have limits."""
OPERATORS = _commands(
    """arccos arcsin arctan arg cos cosec cosh cot coth csc csch deg det dim exp gcd hom inf ker lg lim liminf limsup
    ln log max min Pr sec sech sin sinh sup tan tanh"""
)
"""Names that have a command: ``\\operatorname{sin}`` is ``\\sin``."""
WITH_LIMITS = BIG_OPERATORS | _commands("lim max min sup inf limsup liminf det gcd Pr underbrace overbrace")
"""What carries its scripts above and below itself anyway, so that ``\\underset{x}{\\max}`` is ``\\max_x``."""
BINARY = frozenset("+-=<>*/|") | _commands(
    """times cdot div pm mp cap cup wedge vee oplus otimes ominus circ leq geq neq equiv sim simeq approx cong
    subset subseteq supset supseteq in ni rightarrow leftarrow Rightarrow Leftrightarrow to le ge ne land lor
    bullet ast star amalg prec succ ll gg mid setminus longrightarrow mapsto iff implies
    leqslant geqslant preceq succeq subsetneq supsetneq sqsubseteq sqsupseteq sqcup sqcap uplus hookrightarrow"""
)
CENTRED = BINARY | _commands(
    """notin nmid perp propto doteq asymp models vdash dashv Vdash vDash bowtie lesssim gtrsim leqq geqq
    nsubseteq triangleleft triangleright trianglelefteq trianglerighteq odot oslash boxtimes boxplus ltimes rtimes
    uparrow downarrow updownarrow Uparrow Downarrow Updownarrow leftarrow Leftarrow longleftarrow leftrightarrow
    longleftrightarrow Longrightarrow Longleftarrow Longleftrightarrow longmapsto hookleftarrow twoheadrightarrow
    rightharpoonup rightleftharpoons rightsquigarrow xrightarrow xleftarrow xmapsto xhookrightarrow"""
)
"""Before these ``\\dots`` sits in the middle of the line."""

# ------------------------------------------------------------------------------------------------ delimiters
OPENING = frozenset(["(", "[", r"\{", r"\langle", r"\lfloor", r"\lceil", r"\lgroup", r"\ulcorner"])
CLOSING = frozenset([")", "]", r"\}", r"\rangle", r"\rfloor", r"\rceil", r"\rgroup", r"\urcorner"])
BARS = frozenset(["|", r"\|"])
DELIMITERS = OPENING | CLOSING | BARS | frozenset(["/", r"\backslash", r"\uparrow", r"\downarrow"])
FENCE_NAMES = _words(
    """langle rangle lbrace rbrace lbrack rbrack lvert rvert lVert rVert vert Vert lfloor rfloor lceil rceil
    lgroup rgroup lmoustache rmoustache ulcorner urcorner backslash
    uparrow downarrow updownarrow Uparrow Downarrow Updownarrow"""
)
FENCE_SYNONYMS = {"<": r"\langle", ">": r"\rangle"}
SIZES = {"\\" + size + side: side for size in ("big", "Big", "bigg", "Bigg") for side in ("", "l", "r", "m")}

# ---------------------------------------------------------------------------------------------- environments
MATRICES = {
    "matrix": ("", ""),
    "smallmatrix": ("", ""),
    "pmatrix": ("(", ")"),
    "bmatrix": ("[", "]"),
    "Bmatrix": (r"\{", r"\}"),
    "vmatrix": ("|", "|"),
    "Vmatrix": (r"\|", r"\|"),
    "cases": (r"\{", "."),
    "dcases": (r"\{", "."),
    "rcases": (".", r"\}"),
    "drcases": (".", r"\}"),
    "psmallmatrix": ("(", ")"),
    "bsmallmatrix": ("[", "]"),
    "Bsmallmatrix": (r"\{", r"\}"),
    "vsmallmatrix": ("|", "|"),
    "Vsmallmatrix": (r"\|", r"\|"),
}
"""Tables of cells and the delimiters that they come with."""
STACKS = frozenset(
    _words("""align aligned alignat alignedat flalign split gather gathered multline eqnarray equation displaymath math
    subarray subequations IEEEeqnarray minipage center""")
)
"""Lines one below the other; the marks that align them leave no ink."""
PAIRED = frozenset(_words("align aligned alignat alignedat flalign"))
"""Stacks in which every second ``&`` begins a new column, so that it stands for a gap."""
PLAIN_TABLES = {
    "matrix": "matrix",
    "pmatrix": "pmatrix",
    "cases": "cases",
    "eqalign": "aligned",
    "displaylines": "gathered",
}
"""Plain TeX's commands, with the table as their argument, and the environments that draw the same."""
COLUMNS = frozenset(["array", "tabular", "darray"])
WITH_ARGUMENT = COLUMNS | {"alignat", "alignedat", "subarray", "IEEEeqnarray", "minipage"}
WITH_OPTION = COLUMNS | {"aligned", "alignedat", "gathered", "minipage"}
"""Where the first thing in brackets is how the whole is placed, and no ink."""

# ------------------------------------------------------------------------------ symbols, which take no argument
_SPELLINGS = frozenset(SYNONYMS.values()) | frozenset(NEGATIONS.values())
_SYNTAX = frozenset(["{", "}", "^", "_", "'", r"\\"]) | ARGUMENTS.keys()
SYMBOLS = (
    OPERATORS
    | BINARY
    | (_SPELLINGS - _SYNTAX)
    | _commands(
        """alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa varkappa lambda mu nu xi pi
    varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega omicron Gamma Delta Theta Lambda Xi Pi
    Sigma Upsilon Phi Psi Omega digamma aleph beth hbar hslash ell imath jmath wp Re Im partial nabla infty
    emptyset varnothing angle triangle square blacksquare Diamond star bigstar sharp flat natural
    prime backprime forall exists nexists neg top perp surd ldots cdots vdots ddots therefore because
    sum prod coprod int iint iiint iiiint oint bigcup bigcap bigsqcup bigvee bigwedge bigoplus bigotimes bigodot
    biguplus bullet circ dagger ddagger amalg wr sqcup sqcap uplus odot oslash boxtimes boxplus ltimes rtimes
    div diamond asymp doteq propto models vdash dashv Vdash vDash bowtie smile frown mapsto longmapsto
    preceq succeq lesssim gtrsim leqq geqq leqslant geqslant subsetneq supsetneq sqsubseteq sqsupseteq
    trianglelefteq trianglerighteq triangleleft triangleright nsubseteq nmid notin hookrightarrow hookleftarrow
    twoheadrightarrow rightharpoonup rightharpoondown rightleftharpoons rightleftarrows leftrightarrows
    longleftarrow longleftrightarrow leftrightarrow Leftarrow Uparrow Downarrow uparrow downarrow updownarrow
    nearrow searrow swarrow nwarrow langle rangle lfloor rfloor lceil rceil backslash cosec sech csch hline
    S P AA O o i j complement mho eth Bbbk checkmark diamondsuit heartsuit clubsuit spadesuit"""
    )
)
"""Of these a following group is no argument; an unknown command keeps the groups behind it."""
