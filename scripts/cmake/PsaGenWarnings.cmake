# Warnings are errors in our own code; sanitizers are a property of the whole build.
function(psagen_warnings target)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Werror>)
  if(PSAGEN_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=${PSAGEN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${PSAGEN_SANITIZE})
  endif()
endfunction()
