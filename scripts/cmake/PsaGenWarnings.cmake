# Warnings are errors with the compilers that CI has: a later one may warn of more, and nobody's first
# build should fail of that. GCC 12 sees overlapping copies in std::string's operator+ that cannot be
# (its bug 105651), and with sanitizers unset values that are set. Sanitizers are a property of the
# whole build.
function(psagen_warnings target)
  set(version ${CMAKE_CXX_COMPILER_VERSION})
  set(flags -Wall -Wextra -Wpedantic)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND version VERSION_LESS 13)
    list(APPEND flags -Werror -Wno-restrict)
    if(PSAGEN_SANITIZE)
      list(APPEND flags -Wno-maybe-uninitialized)
    endif()
  elseif(CMAKE_CXX_COMPILER_ID STREQUAL Clang AND version VERSION_LESS 15)
    list(APPEND flags -Werror)
  endif()
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${flags}>")
  if(PSAGEN_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=${PSAGEN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${PSAGEN_SANITIZE})
  endif()
endfunction()
