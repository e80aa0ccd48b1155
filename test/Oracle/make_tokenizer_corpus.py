#!/usr/bin/env python3
# Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes test/Fixtures/tokenizer/corpus.txt.

The corpus is made to be hard for a tokenizer: many scripts, composed and
decomposed accents, digits of several scripts, joined emoji, odd spaces, line
ends of every kind, long runs, and code. Text whose exact code points matter
is written with escapes, so that no editor can normalise it. The last part
glues pieces of the first at random, with a generator of its own, so the
output is the same with every Python. Only the standard library is needed.
"""

import argparse
import pathlib
import unicodedata

SENTENCES = r"""
The compiler reads the model, chooses a plan, and writes one file that runs it.
She didn't know whether they'd have finished by 10:45 p.m.; it's O'Brien's call, isn't it?
Prices rose 3.5% to $1,299.99 (about €1.190,50) -- see section 4.2.1, lines 17-23 & 40.
ALL CAPS, lower case, MixedCase, camelCaseWords, snake_case_words, kebab-case-words, SCREAMING_SNAKE.
Der Führer einer Lokomotive prüft täglich Öl, Maße und Größe; die Straße war naß, jetzt ist sie nass.
Falsches Üben von Xylophonmusik quält jeden größeren Zwerg. „Anführungszeichen“ und ‚einfache‘.
Où était-elle ? « Près de l'île », répondit-il, « là où l'œuvre naïve du garçon fut achevée. »
¿Dónde está el niño? ¡Mañana por la mañana comeremos piñones y pingüinos de azúcar!
O coração não vê razão; amanhã os pães estarão à mesa, às três e meia.
Zażółć gęślą jaźń. Pchnąć w tę łódź jeża lub ośm skrzyń fig.
Příliš žluťoučký kůň úpěl ďábelské ódy. Árvíztűrő tükörfúrógép.
İstanbul'da ılık bir öğle vakti, çocuklar şeker yiyip güldüler; IĞDIR ığdır olur.
Tiếng Việt có nhiều dấu: ă â đ ê ô ơ ư, ấ ề ộ ữ, và những thanh điệu khác nhau.
Ţara mea are șapte sate; în fiecare sat trăiește câte un țăran bătrân.
Øystein åt blåbær på ærlig vis; Þórður sá ýsu í ánni.
Ο ήλιος έλαμπε και οι ψαράδες γύριζαν. Ἐν ἀρχῇ ἦν ὁ λόγος, καὶ ὁ λόγος ἦν πρὸς τὸν θεόν. ᾳ ῳ ῶ ὧ
Быстрый поезд шёл на север, и ёлки за окном казались чёрными. Объём — 15 м³.
Їжак з'їв ґроно винограду, а потім заснув під яблунею.
Љубав, њива, џеп, ђак, ћуприја. Ѓорѓи и Ќиро одат по патот.
Қазақстанның астанасы үлкен қала; Өзбекистон, Тоҷикистон, Монгол Улс.
בראשית היה הדבר פשוט: שלום לכולם! שָׁלוֹם עֲלֵיכֶם, מה שלומך היום?
السلام عليكم، كيف حالك اليوم؟ الأرقام ٠١٢٣٤٥٦٧٨٩ تُكتب هكذا، والسنة ٢٠٢٤.
این یک جملهٔ فارسی است؛ می‌خواهم کتاب‌ها را بخوانم. شماره ۱۲۳۴۵۶۷۸۹۰
نستعلیق میں لکھی ہوئی اُردو خوبصورت لگتی ہے۔
सभी मनुष्य गौरव और अधिकारों में समान हैं। क्षत्रिय, ज्ञान, श्री। अंक १२३४५६७८९०
বাংলা ভাষায় যুক্তাক্ষর আছে: ক্ষ, জ্ঞ, ঞ্জ। সংখ্যা ৩৪৫
தமிழ் மொழி மிகவும் பழமையானது. எண்கள் ௧௨௩.
తెలుగు లిపి గుండ్రంగా ఉంటుంది. ಕನ್ನಡ ಲಿಪಿಯೂ ಹಾಗೆಯೇ. മലയാളം മനോഹരമാണ്.
ภาษาไทยไม่มีช่องว่างระหว่างคำ ราคา ๑๒๓ บาท น้ำใจ กำลัง เก่า ผู้ใหญ่
ພາສາລາວ ແລະ ភាសាខ្មែរ និង မြန်မာဘာသာ
ქართული ენა ლამაზია. Հայերենը հին լեզու է։ አማርኛ ፊደል ብዙ ነው።
ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ᎠᎴ ᎾᏍᏉ ꭰꭱꭲ
我们把模型编译成一个文件，然后直接运行它。“你好，世界！”他说：‘可以吗？’
人工智慧的發展，需要更好的編譯器；價格是１２３４元（含稅）。《紅樓夢》第一回……
春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。
吾輩は猫である。名前はまだ無い。カタカナとひらがな、漢字が混ざる文章です。ﾊﾝｶｸ ｶﾅ。
東京都渋谷区１－２－３、郵便番号〒１５０－０００２。ＡＢＣａｂｃ＃＄％＆！？
한국어는 한글로 씁니다. 오늘은 날씨가 참 좋네요! 제3장, 2024년 5월 6일.
Ａ Ｂ Ｃ，full‐width：（括号）【方括号】「引用」、。〃々〇〈〉　wide space
He said “yes” ‘no’ ‚low‛ “„‟ … – — ― † ‡ • ‰ ′ ″ ※ ‽
∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β ≡ ∑ᵢ xᵢ² ≤ ∫₀^∞ e^{−t} dt, theorem (a b : ℕ) : a + b = b + a
ℂ ℍ ℕ ℙ ℚ ℝ ℤ ℵ ℶ Å Ω K µ μ ½ ¼ ² ³ ¹ ₁₂₃ ⅓ Ⅳ ⅷ ① ⑳ ㊿ ㈱ ㎏
🙂 😀😃😄 👍🏽 👩‍👩‍👧 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷🇯🇵 ❤️ ☎︎ 1️⃣2️⃣ 🧑🏿‍🚀 🀄 🃏 𝒳𝓎 𝔸𝔹 𐐀𐐨 𞤀𞤢
Ǆ ǅ ǆ Ǉ ǈ ǉ ﬁ ﬂ ﬃ ﬅ ẞ ß ſ ŉ ǰ ΐ ΰ Ⱥ ⱥ Ꞷ ꞷ Ƛ ƛ ᲀ Ა ა ꟺ
a1b2c3 x86_64 utf8 sha256 0xDEADBEEF 1e-5 3.14159 2^31-1 192.168.0.1 v2.0.1-rc3 #42 @home C++20
12345678901234567890 1 22 333 4444 55555 666666 7777777 1,234,567,890.01 00:00:59 +49 30 901820
user@example.org https://example.org/a/b?c=d&e=%20f#g ftp://x.y:21/ ~/src/../lib C:\dir\file.txt
!!! ??? ... ,,, ;;; ::: --- ___ *** /// \\\ ||| &&& ^^^ %%% $$$ ### @@@ +++ === <<< >>> ((( ))) [[[ ]]] {{{ }}}
<｜not▁a▁token｜> <|user|> <|end_of_text|> [INST] </s> <s> User: Assistant: <｜User> <begin▁of▁sentence｜>
"""

CODE = r"""
#include <vector>
template <typename T, unsigned N = 8> struct Ring {
  std::array<T, N> data{}; // one slot stays free
  bool push(T &&value) noexcept { return (head + 1) % N != tail ? (data[head] = std::move(value), head = (head + 1) % N, true) : false; }
private:
  unsigned head = 0, tail = 0;
};
static inline uint64_t mix(uint64_t z) { z ^= z >> 30; z *= 0xBF58476D1CE4E5B9ULL; return z ^ (z >> 31); }

def f(n):
    if n < 2:
        return n
    return f(n - 1) + f(n-2)  # slow on purpose

class Node:
	"indented with tabs"
	def __init__(self, *, key=None, **rest):
		self.key, self.rest = key, {k: v for k, v in rest.items() if v is not None}

func.func @matmul(%a: tensor<?x64xbf16>, %b: tensor<64x128xbf16>) -> tensor<?x128xf32> {
  %c0 = arith.constant 0 : index
  %d = tensor.dim %a, %c0 : tensor<?x64xbf16>
  %e = tensor.empty(%d) : tensor<?x128xf32>
  return %e : tensor<?x128xf32>
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let total: f64 = std::env::args().skip(1).filter_map(|s| s.parse::<f64>().ok()).sum();
    println!("{total:>8.3}");
    Ok(())
}

{"name": "tiny", "values": [1, 2.5, -3e10, null, true], "nested": {"é": "\u00e9", "tab": "\t"}}
SELECT u.name, COUNT(*) AS n FROM users u LEFT JOIN posts p ON p.uid = u.id WHERE u.age >= 18 GROUP BY 1 HAVING n > 3;
for f in *.txt; do [ -s "$f" ] && grep -nE '^[[:space:]]*#' "$f" | awk -F: '{print $1 "\t" $2}' >> out.log 2>&1; done
<div class="row"><a href="/x?y=1&amp;z=2">Größe</a><br/><!-- 注释 --></div>
\begin{equation} \frac{\partial L}{\partial w} = \sum_{i=1}^{N} \left( y_i - \hat{y}_i \right) x_i \end{equation}
"""

# Cases whose code points must survive as they are.
EXACT = [
    "Fu\u0308hrer Führer F\u00fchrer cafe\u0301 caf\u00e9 A\u030a \u00c5 \u212b",
    "e\u0301e\u0300e\u0302e\u0308 o\u0302\u0323 \u1ed9 \u0041\u0301\u0327 zalgo "
    "h\u0335\u0321\u0300e\u0334\u0322l\u0337p\u0336",
    "\u1100\u1161\u11a8 \uac01 \u1112\u1161\u11ab\u1100\u1173\u11af \ud55c\uae00",
    "line\u2028separator paragraph\u2029separator next\u0085line",
    "no\u00a0break\u202fnarrow\u2009thin\u200azero\u200bwidth\u2060join\ufeffbom",
    "soft\u00adhyphen \u200eltr \u200frtl \u202abidi\u202c \u2066iso\u2069",
    "en\u2000quad\u2001em\u2002 \u2003 \u2004\u2005\u2006\u2007\u2008 "
    "\u205fmath\u3000ideographic\u1680ogham",
    "tab\there\t\ttwo\t \tmixed\t", "\tleading tab", "    four spaces",
    "trailing spaces   ", " ", "  ", "   ", "\t", " \t ", "",
    "a b  c   d    e     f      g       h        i" + " " * 40 + "j",
    " " * 64 + "x" + " " * 3 + "\t" * 9 + "y", "vertical\x0btab form\x0cfeed",
    "carriage\rreturn alone", "windows line end\r", "two\r\r", "\r",
    "spaces before return   \r", "   \r", "bell\x07 escape\x1b[31m delete\x7f",
    "digits\u0660\u0661\u0662 \u06f1\u06f2 \u0967\u0968 \u0e51\u0e52 \uff11\uff12 "
    "\U0001d7ce\U0001d7cf\U0001d7d8 \u00b2\u00b3\u00b9 \u2460\u2461 \u2167 \u00bd",
    "1" * 100, "9876543210" * 12, "3.1415926535897932384626433832795028841971",
    "=" * 80, "-" * 33 + " " + "*" * 17, "a" * 70, "ab" * 40, "Z" * 31 + "z",
    "!\u00a1?\u00bf \uff01\uff0f\uff1a\uff5e\u2018\u2019\u201c\u201f\u3000\u3001\u3002 "
    "\uff10\uff19\uff5f\u2017\u2020\u3003",
    "\u4dff\u4e00\u9fa5\u9fa6 \u07ff\u0800\u0fff\u1000 \uabff\uac00\ud7a3\ud7b0\ud7ff",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd \u2764\ufe0f "
    "\U0001f1e9\U0001f1ea \U0001f3f4\U000e0067\U000e0062\U000e007f",
    "\U00010400\U00010428\U0001044f \U000104b0 \U00010c80 \U000118a0\U0001e900"
    "\U0001e943\U0001e944 \U0001d400\U0001d4d0",
    "\u1f7c\u1f7d\u1fd2\u1fd3\u1fda\u1fdb\u1fbd\u1fbe\u1fbf \u2125\u2126 K\u212a\u212d "
    "\u03ce\u0390\u038a\u03b9\u03a9",
    "\u00aa\u00ba\u01bb\u01c0\u0294\u02b0 \u1d2c\u1d6a\u1d78 \u2071\u2090 \u2c7c "
    "\ua770 \uab5b \u10fb\u10fc\u10d0\u1c90\u1cba\u1cbd",
    "\ue000\uf8ff \ufffd \ufffc \U000f0000 \U0010fffd \u0378",
    "x\u0301y 5\u20e3 \u0915\u094d\u0937 \u0e19\u0e49\u0e33 \u0ba8\u0bbf",
    " \u4f60 \u597d  \u4e16\u754c 3\u4e2a \uff0c\u4f60", "\u4f60\u597dabc\u4e16\u754c123\uff01",
    "I'm you're he's we'll they'd I've don't 'tis rock'n'roll 'quoted'",
    "\u00c9COLE \u00e9cole na\u00efve co\u00f6perate fa\u00e7ade \u0153uvre \u00c6sir",
]


def mixed_lines(pieces, count, seed):
    """Glues random pieces together; a linear congruential generator."""
    state = seed

    def draw(limit):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % limit

    glue = ["", " ", "  ", "\t", "\u3000", "\u00a0", "-", "\r", "7", "\u200d"]
    for _ in range(count):
        line = ""
        for _ in range(3 + draw(9)):
            line += pieces[draw(len(pieces))] + glue[draw(len(glue))]
        yield line


def corpus():
    sentences = SENTENCES.strip("\n").split("\n")
    lines = list(sentences)
    lines += CODE.strip("\n").split("\n")
    lines += [unicodedata.normalize("NFD", s) for s in sentences
              if unicodedata.normalize("NFD", s) != s]
    lines += EXACT
    lines += [s + "\r" for s in sentences[:12]]
    words = [w for s in sentences for w in s.split(" ") if w]
    lines += mixed_lines(words, 260, 20240507)
    return "\n".join(lines) + "\n\n\n  \n\nthe end"


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path,
                        default=root / "Fixtures/tokenizer/corpus.txt")
    arguments = parser.parse_args()
    data = corpus().encode("utf-8")
    arguments.output.write_bytes(data)
    print(f"{arguments.output.name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
