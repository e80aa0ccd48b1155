# Writes the text file INPUT as a C++ string literal to OUTPUT.
file(READ ${INPUT} text)
string(REGEX REPLACE "\n##" "\n)DSV2\" R\"DSV2(##" text "${text}")
file(WRITE ${OUTPUT} "R\"DSV2(${text})DSV2\"\n")
