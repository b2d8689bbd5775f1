"""XML: what is read, what is refused, and what is written."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.xml import (
    LANG,
    MAX_ATTRIBUTES,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_ELEMENTS,
    STREAMS,
    XBOSH,
    Element,
    XmlError,
    escape,
    parse,
    quote,
)
from tests.memory import kept

CLIENT = "jabber:client"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"


# -- reading -------------------------------------------------------------------


def test_an_element_is_its_name_its_attributes_and_what_is_in_it() -> None:
    raw = b"<m xmlns='jabber:client' to='a@b' xml:lang='de'>x<body>hi</body>y<x xmlns='u:x'/></m>"
    element = parse(raw)
    assert (element.name, element.namespace) == ("m", CLIENT)
    assert element.attributes == {"to": "a@b", LANG: "de"}
    body = Element("body", CLIENT, {}, ("hi",))
    assert element.children == ("x", body, "y", Element("x", "u:x"))
    assert element.text == "xy"
    assert element.elements == [body, Element("x", "u:x")]
    assert element.get("to") == "a@b"
    assert element.get("from") is None


def test_a_prefix_is_as_good_as_a_default_namespace() -> None:
    assert parse(b"<a:x xmlns:a='u:a' a:k='v' k='w'/>") == Element(
        "x", "u:a", {"{u:a}k": "v", "k": "w"}
    )


def test_finding_is_by_name_and_namespace() -> None:
    iq = parse(b"<iq xmlns='jabber:client'><q xmlns='u:1'/><q/><q xmlns='u:1' n='2'/></iq>")
    assert iq.find("q") == Element("q", CLIENT)
    assert iq.find("q", "u:1") == Element("q", "u:1")
    assert [q.get("n") for q in iq.every("q", "u:1")] == [None, "2"]
    assert iq.find("q", "u:2") is None


def test_predefined_entities_and_cdata_are_text() -> None:
    assert parse(b"<a>&lt;&amp;&gt;&quot;&apos;&#65;<![CDATA[<b>]]></a>").text == "<&>\"'A<b>"


def test_a_declaration_may_come_first_and_changes_nothing() -> None:
    assert parse("<?xml version='1.0' encoding='iso-8859-1'?><a>é</a>".encode()).text == "é"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no element"),
        (b"   ", "no element"),
        (b"hello", "syntax error"),
        (b"<a>", "no element"),
        (b"<a", "unclosed token"),
        (b"<a></b>", "mismatched tag"),
        (b"<a/><b/>", "junk after"),
        (b"<a k='1' k='2'/>", "duplicate attribute"),
        (b"<a x:k='1' y:k='2' xmlns:x='u' xmlns:y='u'/>", "duplicate attribute"),
        (b"<p:a/>", "unbound prefix"),
        (b"<a>&nbsp;</a>", "undefined entity"),
        (b"<a>\x00</a>", "invalid token"),
        (b"<a>&#0;</a>", "reference to invalid character"),
        ("<a>é</a>".encode("latin-1"), "UTF-8"),
        ("<a>é</a>".encode("utf-16"), "UTF-8"),
        (b"<a><!-- c --></a>", "comments"),
        (b"<a/><!-- c -->", "comments"),
        (b"<a><?php evil ?></a>", "processing instructions"),
        (b"<!DOCTYPE a><a/>", "document type"),
        (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "document type"),
        (b"<a>" * (MAX_DEPTH + 1), f"{MAX_DEPTH} deep"),
        (b"<a>" * 10_000 + b"</a>" * 10_000, f"{MAX_DEPTH} deep"),
        (b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>", f"{MAX_ELEMENTS} elements"),
        (b"<a>" + b"x" * MAX_BYTES + b"</a>", f"{MAX_BYTES} bytes"),
    ],
)
def test_what_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(XmlError, match=reason):
        parse(raw)


def test_attributes_are_counted() -> None:
    def with_attributes(count: int) -> bytes:
        return b"<a " + b" ".join(b"k%d='v'" % number for number in range(count)) + b"/>"

    assert len(parse(with_attributes(MAX_ATTRIBUTES)).attributes) == MAX_ATTRIBUTES
    for count in (MAX_ATTRIBUTES + 1, 10_000):
        with pytest.raises(XmlError, match=f"{MAX_ATTRIBUTES} attributes"):
            parse(with_attributes(count))


@pytest.mark.slow
def test_what_pushhub_wrote_may_be_larger() -> None:
    large = Element("a", "", {}, (Element("b", "", {}, ("x" * 10,)),) * (MAX_BYTES // 10))
    raw = large.xml().encode()
    assert parse(raw, own=True) == large
    with pytest.raises(XmlError, match="bytes"):
        parse(raw)


@pytest.mark.slow
def test_a_billion_laughs_leave_nothing_behind() -> None:
    levels = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 10))
    bomb = f'<!DOCTYPE a [<!ENTITY l0 "lol">{levels}]><a>&l9;</a>'.encode()

    def laugh() -> None:
        with pytest.raises(XmlError, match="document type"):
            parse(bomb)

    tracemalloc.start()
    try:
        laugh()
        before = kept()
        tracemalloc.reset_peak()
        begun = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            laugh()
        peak = tracemalloc.get_traced_memory()[1]
        after = kept()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000
    assert peak - begun < 200_000


# -- writing -------------------------------------------------------------------


def test_a_namespace_is_declared_where_it_changes() -> None:
    bind = Element("bind", BIND, {}, (Element("jid", BIND, {}, ("a@b/c",)),))
    iq = Element("iq", CLIENT, {"type": "result"}, (bind,))
    inner = f"<bind xmlns='{BIND}'><jid>a@b/c</jid></bind>"
    assert iq.xml() == f"<iq xmlns='{CLIENT}' type='result'>{inner}</iq>"
    assert iq.xml(CLIENT) == f"<iq type='result'>{inner}</iq>"
    assert Element("a", "").xml("u:b") == "<a xmlns=''/>"


def test_streams_have_their_usual_prefix_and_leave_the_default_namespace_alone() -> None:
    features = Element("features", STREAMS, {}, (Element("bind", BIND), Element("x", CLIENT)))
    inside = f"<bind xmlns='{BIND}'/><x xmlns='{CLIENT}'/>"
    assert features.xml() == f"<stream:features xmlns:stream='{STREAMS}'>{inside}</stream:features>"
    assert parse(features.xml().encode()) == features


@pytest.mark.parametrize(
    ("attributes", "written"),
    [
        ({LANG: "en"}, " xml:lang='en'"),
        (
            {f"{{{XBOSH}}}version": "1.0", f"{{{XBOSH}}}restartlogic": "true"},
            f" xmlns:xmpp='{XBOSH}' xmpp:version='1.0' xmpp:restartlogic='true'",
        ),
        (
            {"{u:1}a": "1", "{u:2}a": "2", "{u:1}b": "3"},
            " xmlns:ns1='u:1' ns1:a='1' xmlns:ns2='u:2' ns2:a='2' ns1:b='3'",
        ),
    ],
)
def test_attributes_of_a_namespace(attributes: dict[str, str], written: str) -> None:
    element = Element("a", "", attributes)
    assert element.xml() == f"<a{written}/>"
    assert parse(element.xml().encode()) == element


def test_a_prefix_is_declared_once() -> None:
    element = Element("error", STREAMS, {f"{{{STREAMS}}}a": "1", "b": "2"})
    assert element.xml() == f"<stream:error xmlns:stream='{STREAMS}' b='2' stream:a='1'/>"


def test_what_is_special_is_escaped() -> None:
    assert escape("a<b>&c\r\n'\"]]>") == "a&lt;b&gt;&amp;c&#13;\n'\"]]&gt;"
    assert quote("a<b>&c\r\n\t'\"") == "a&lt;b&gt;&amp;c&#13;&#10;&#9;&apos;&quot;"
    assert escape("plain é ☺") == "plain é ☺"


def test_what_no_xml_may_have_is_replaced() -> None:
    element = Element("a", "", {"k": "\x00"}, ("\x1b[1m\ud800\uffff",))
    assert element.xml() == "<a k='\ufffd'>\ufffd[1m\ufffd\ufffd</a>"


def test_changes_make_a_new_element() -> None:
    element = Element("m", CLIENT, {"to": "a", "from": "x"}, ("t",))
    assert element.having({"to": None, "from": "b"}).attributes == {"from": "b"}
    assert element.holding("u").children == ("u",)
    assert element.attributes == {"to": "a", "from": "x"}
    assert element.children == ("t",)


def test_comparing() -> None:
    element = Element("m", CLIENT, {"a": "1"})
    assert element != Element("m", CLIENT)
    assert element != "m"
    assert len({element, Element("m", CLIENT, {"a": "1"})}) == 1
    assert repr(element) == f"<Element <m xmlns='{CLIENT}' a='1'/>>"


texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=10)
names = st.sampled_from(["a", "b", "features", "ü"])
namespaces = st.sampled_from(["", CLIENT, STREAMS, XBOSH, "u:'&"])
keys = st.sampled_from(["a", "b", LANG, "{u:'&}a", "{u:2}a", f"{{{STREAMS}}}a", f"{{{XBOSH}}}b"])


def joined(children: list[Element | str]) -> tuple[Element | str, ...]:
    """Without two texts in a row, which nobody can tell from one."""
    kept: list[Element | str] = []
    for child in children:
        if kept and isinstance(child, str) and isinstance(kept[-1], str):
            continue
        kept.append(child)
    return tuple(kept)


elements: st.SearchStrategy[Element] = st.recursive(
    st.builds(Element, names, namespaces, st.dictionaries(keys, texts)),
    lambda inner: st.builds(
        Element,
        names,
        namespaces,
        st.dictionaries(keys, texts),
        st.lists(inner | texts, max_size=4).map(joined),
    ),
    max_leaves=8,
)


@given(elements)
def test_what_is_written_is_read_as_the_same(element: Element) -> None:
    assert parse(element.xml().encode()) == element
    around = f"<w xmlns='u:w'>{element.xml('u:w')}</w>"
    assert parse(around.encode()).children == (element,)
