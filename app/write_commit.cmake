# cmake -DSOURCE=DIR -DOUTPUT=FILE -P write_commit.cmake: a header that names the commit being built,
# touched only when that changes.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --exclude=*
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define PSAGEN_COMMIT \"@commit@\"\n" @ONLY)
