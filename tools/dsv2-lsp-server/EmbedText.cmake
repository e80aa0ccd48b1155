# Writes the text files INPUTS as one C++ string literal to OUTPUT.
set(literal "")
foreach(input IN LISTS INPUTS)
  file(READ ${input} text)
  string(REGEX REPLACE "\n##" "\n)DSV2\" R\"DSV2(##" text "${text}")
  string(APPEND literal "R\"DSV2(${text})DSV2\"\n")
endforeach()
file(WRITE ${OUTPUT} "${literal}")
