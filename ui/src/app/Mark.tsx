/** The watchtower: two roofs over a body. */
export function Mark({ size }: { size: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#d9422b" />
      <path
        d="M5 11.5C9 11 12.500 9.500 16 6c3.500 3.500 7 5 11 5.500l-1 2.500H6zM8.500 20.500c3-.4 5.200-1.300 7.500-3.500 2.300 2.200 4.500 3.100 7.500 3.500l-1 2.300h-13zM10 14.500h2.500v3H10zm9.500 0H22v3h-2.500zM10.500 23.300h2.700V27h-2.700zm8.300 0h2.700V27h-2.700z"
        fill="#fff"
      />
    </svg>
  );
}
